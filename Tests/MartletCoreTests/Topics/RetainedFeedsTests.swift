import MartletCore
import MartletTestSupport
import MartletWire
import Testing

@Suite struct RetainedFeedsTests {
    private static let ends = TopicSubscriptions.Ends(memoryEpoch: 1, memory: 100, durable: 100)

    private func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: Limits()) }

    private func feeds(_ filters: String..., logs: [TopicLogKind] = [.memory]) throws -> RetainedFeeds {
        var feeds = RetainedFeeds()
        feeds.begin()
        for text in filters {
            feeds.add(try self.filter(text), for: try self.filter(text), reader: try self.filter(text), logs: logs, ends: Self.ends)
        }
        return feeds
    }

    @Test func whatIsLeftCanBeKept() throws {
        var feeds = try self.feeds("a/#", "b", "+/é", logs: [.memory, .durable])
        feeds.turn(["a/1", "a/2"])
        feeds.pass("a/1")
        let rest = feeds.rest { $0.text != "b" }
        let read = rest.map { RetainedFeeds.rest($0) }
        #expect(read.map { $0?.filter } == ["a/#", "+/é"])
        #expect(read.map { $0?.after } == ["a/1", nil])
        #expect(read.map { $0?.log } == [.memory, .memory])
        feeds.pass("a/2")
        #expect(feeds.rest { $0.text == "a/#" }.first.flatMap { RetainedFeeds.rest($0) }?.log == .durable)
        #expect(feeds.rest { $0.text == "b" } == ["b"])
        for text in ["", "a", "a/#", "\u{0}", "\u{0}9a/#\u{0}x", "\u{0}\u{0}"] { #expect(RetainedFeeds.rest(text) == nil) }
    }

    @Test func aMessageWaitsOnlyForValuesThatAreStillToCome() throws {
        var feeds = try self.feeds("a/#", "b/#")
        #expect(feeds.owing("a/1", in: .memory).count == 1)
        #expect(feeds.owing("a/1", in: .durable).isEmpty)
        #expect(feeds.owing("c", in: .memory).isEmpty)
        feeds.turn(["a/1", "a/2"])
        feeds.pass("a/1")
        #expect(feeds.owing("a/1", in: .memory).isEmpty)
        #expect(feeds.owing("a/0", in: .memory).isEmpty)
        let feed = try #require(feeds.owing("a/2", in: .memory).first)
        feeds.sentEarly("a/2", feed.id)
        #expect(feeds.owing("a/2", in: .memory).isEmpty)
        // The same letter in two ways is two topics.
        feeds.sentEarly("a/\u{e9}", feed.id)
        #expect(feeds.owing("a/\u{e9}", in: .memory).isEmpty)
        #expect(feeds.owing("a/e\u{301}", in: .memory).count == 1)
        feeds.pass("a/2")
        #expect(feeds.next?.filter.text == "b/#")
    }

    @Test func earlyOnesAreBounded() throws {
        var feeds = try self.feeds("#")
        let id = try #require(feeds.next?.id)
        var count = 0
        while feeds.maySendEarly(id) {
            feeds.sentEarly("\(count)", id)
            count += 1
            try #require(count < 1_000)
        }
        #expect(count == 64)
        feeds.turn(["0"])
        feeds.pass("0")
        #expect(feeds.isEmpty)
    }

    @Test func thatWhichBeginsAnewIsThereOnce() throws {
        var feeds = try self.feeds("a/#")
        for _ in 0..<100 {
            feeds.begin()
            feeds.isReading = true
            feeds.add(try self.filter("a/#"), for: try self.filter("a/#"), reader: try self.filter("a/#"), logs: [.durable], ends: Self.ends)
        }
        #expect(feeds.all.count == 1)
        #expect(feeds.next != nil)
        feeds.remove(try self.filter("a/#"))
        #expect(feeds.isEmpty)
    }

    @Test(arguments: 0..<20)
    func namesComeInPages(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var topics = TopicFixture(history: 0)
        var names: Set<[UInt8]> = []
        for _ in 0..<Int.random(in: 0...400, using: &random) {
            let name = ["a", "b", "a/é", "a/e\u{301}"].randomElement(using: &random).map { "\($0)/\(Int.random(in: 0..<150, using: &random))" } ?? ""
            names.insert(Array(name.utf8))
            try topics.publish(name, retain: .set)
        }
        for filter in ["#", "a/#", "+/7", "a/é/+", "b/3"] {
            let filter = try topics.filter(filter)
            let expected = names.filter { filter.matches(String(decoding: $0, as: UTF8.self)) }.sorted { $0.lexicographicallyPrecedes($1) }
            var found: [String] = []
            let limit = Int.random(in: 1...30, using: &random)
            while true {
                let page = topics.table.retainedNames(filter, app: .dev, after: found.last, limit: limit)
                #expect(page.count <= limit)
                found += page
                guard page.count == limit else { break }
            }
            #expect(found.map { Array($0.utf8) } == expected)
        }
    }
}
