import MartletCore
import MartletTestSupport
import MartletWire
import Testing

struct CursorTopicTests {
    private func cursor(_ topics: TopicPlace?, positions: Positions = Positions(all: 77)) -> Cursor {
        Cursor(tag: 0xdead_beef, epoch: 7, appHash: 1, userHash: 2, deviceHash: 3, positions: positions, topics: topics)
    }

    private var sample: TopicPlace {
        TopicPlace(
            memoryEpoch: 0xcafe_babe, memory: 1_000_003, durable: 500,
            behind: [
                .init(hash: shortHash("a/#"), log: .memory, offset: 999_000), .init(hash: shortHash("b"), log: .durable, offset: 0, isKnown: true),
                .init(hash: shortHash("b"), log: .durable, offset: 500),
            ])
    }

    @Test func roundTrip() throws {
        var cursors = [self.cursor(self.sample), self.cursor(TopicPlace(memoryEpoch: 0, memory: 0, durable: 0))]
        cursors.append(self.cursor(TopicPlace(memoryEpoch: .max, memory: .max, durable: .max), positions: Positions()))
        for cursor in cursors { #expect(try Cursor(parsing: cursor.description) == cursor) }
        // No topics of a log take one byte.
        let one = self.cursor(TopicPlace(memoryEpoch: 1, memory: 5), positions: Positions())
        #expect(Base64URL.decode(one.description.utf8)?.count == 38)
        #expect(try Cursor(parsing: one.description).topics?.durable == TopicPlace.unread)
    }

    /// What older servers gave out is still a cursor, and one without topics is still written so.
    @Test func theFirstVersion() throws {
        let text = "Ad6tvu8AAAAHAAAAAQAAAAIAAAADTQAAAAAAAAAAAA"
        #expect(try Cursor(parsing: text) == self.cursor(nil))
        #expect(self.cursor(nil).description == text)
        #expect(try Cursor(parsing: self.cursor(self.sample).description).topics == self.sample)
        #expect(self.cursor(self.sample).description.hasPrefix("At6tvu8"))
    }

    @Test func theLargestFits() throws {
        var place = TopicPlace(memoryEpoch: .max, memory: .max, durable: .max - 1)
        for index in 0..<UInt32(TopicPlace.maxBehind) { place.behind.append(.init(hash: .max - index, log: .durable, offset: 0)) }
        var positions = Positions()
        positions[Lane(index: 8)] = .max
        var cursor = self.cursor(place, positions: positions)
        #expect(cursor.description.utf8.count <= 435)
        #expect(cursor.textRoom >= 435 && Cursor.maxTextLength >= cursor.textRoom && Cursor.maxTextLength < Cursor.maxLength)
        #expect(try Cursor(parsing: cursor.description) == cursor)
        // One more than can be listed: everything counts as read no further than the last.
        place.memory = 100
        place.durable = 200
        for index in place.behind.indices { place.behind[index].offset = 150 + UInt64(index) }
        place.behind.append(.init(hash: 1, log: .memory, offset: 40))
        cursor.topics = place
        #expect(try Cursor(parsing: cursor.description).topics == TopicPlace(memoryEpoch: .max, memory: 40, durable: 150))
    }

    @Test func aFilterMayBeAhead() throws {
        let place = TopicPlace(
            memoryEpoch: 1, memory: 5, durable: 5,
            behind: [.init(hash: 9, log: .memory, offset: .max), .init(hash: 8, log: .durable, offset: 6)])
        #expect(try Cursor(parsing: self.cursor(place).description).topics == place)
        let read = TopicPlace(memoryEpoch: 1, memory: 5, behind: [.init(hash: shortHash("b"), log: .memory, offset: 9)])
        #expect(read.offset(of: TopicFilter(topic: "b"), in: .memory) == 9)
        #expect(read.offset(of: TopicFilter(topic: "c"), in: .memory) == 5)
    }

    @Test func malformed() {
        let good = Base64URL.decode(self.cursor(self.sample).description.utf8) ?? []
        func parses(_ bytes: [UInt8]) -> Bool {
            var text: [UInt8] = []
            Base64URL.encode(bytes, into: &text)
            return (try? Cursor(parsing: String(decoding: text, as: UTF8.self))) != nil
        }
        #expect(parses(good))
        for count in good.indices { #expect(!parses(Array(good.prefix(count))), "the first \(count) bytes") }
        #expect(!parses(good + [0]))
        for version in [0, 1, 3, 255] as [UInt8] { #expect(!parses([version] + good.dropFirst())) }
        let head = good.count - 21
        #expect(good[head...].prefix(1) == [3])
        func changed(_ index: Int, _ byte: UInt8) -> [UInt8] {
            var bytes = good
            bytes[head + index] = byte
            return bytes
        }
        // More filters than may be, a log that there is not, one further behind than the beginning.
        #expect(!parses(changed(0, 2)) && !parses(changed(0, 13)) && !parses(changed(0, 255)))
        #expect(!parses(changed(5, 8)) && !parses(changed(5, 128)))
        #expect(!parses(changed(0, 4) + [0, 0, 0, 0, 2, 0]))
        #expect(!parses(good.dropLast() + [0xf5, 0x03]))
        #expect(parses(good.dropLast() + [0xf4, 0x03]))
    }

    /// One cursor has one text, and nothing that is parsed is written otherwise.
    @Test func changedTexts() {
        let cursor = self.cursor(self.sample)
        let text = Array(cursor.description.utf8)
        var random = SeededRandom(seed: 5)
        var parsed = 0
        for _ in 0..<20_000 {
            var changed = text
            for _ in 0...random.below(3) { changed[random.below(text.count)] = UInt8(random.below(128)) }
            let changedText = String(decoding: changed, as: UTF8.self)
            guard let other = try? Cursor(parsing: changedText) else { continue }
            parsed += 1
            #expect(other.description == changedText)
            #expect((other == cursor) == (changed == text))
        }
        #expect(parsed > 1_000)
    }

    @Test func aFilterThatIsNotListedWasReadAsFarAsAll() {
        let place = self.sample
        #expect(place.offset(of: TopicFilter(topic: "b"), in: .durable) == 0)
        #expect(place.offset(of: TopicFilter(topic: "b"), in: .memory) == 1_000_003)
        #expect(place.offset(of: TopicFilter(topic: "c"), in: .durable) == 500)
    }
}
