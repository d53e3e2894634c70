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

    private static func page(_ names: String..., reached: String? = nil) -> RetainedNames {
        var page = RetainedNames()
        (page.names, page.reached) = (names, reached)
        return page
    }

    @Test func whatIsLeftCanBeKept() throws {
        var feeds = try self.feeds("a/#", "b", "+/é", logs: [.memory, .durable])
        feeds.turn(Self.page("a/1", "a/2"))
        feeds.pass("a/1")
        let rest = feeds.rest { $0.text != "b" }
        #expect(
            rest == [
                .feed(filter: "a/#", log: .memory, after: "a/1", group: 1, ends: Self.ends),
                .feed(filter: "+/é", log: .memory, after: nil, group: 1, ends: Self.ends),
            ])
        feeds.pass("a/2")
        #expect(feeds.rest { $0.text == "a/#" } == [.feed(filter: "a/#", log: .durable, after: nil, group: 1, ends: Self.ends)])
        feeds.sentEarly("a/9", feeds.next?.id ?? 0)
        #expect(feeds.rest { $0.text == "a/#" }.last == .early("a/9"))
        feeds.endLog()
        // What began together with one that is left out says nothing of the others.
        #expect(feeds.rest { $0.text == "+/é" }.count == 1)
        #expect(feeds.rest { $0.text == "b" } == [.finished("a/#"), .feed(filter: "b", log: .memory, after: nil, group: 1, ends: Self.ends)])
    }

    @Test func whatIsLeftIsReadAsItWasWritten() {
        let rests: [RetainedRest] = [
            .topic("a"), .finished("a/+"), .finished(""), .early("a/b"),
            .feed(filter: "a/#", log: .durable, after: "a/é,1", group: 7, ends: Self.ends),
            .feed(filter: "#", log: .memory, after: nil, group: .max, ends: .init(memoryEpoch: .max, memory: .max, durable: 0, lateUpTo: .max)),
            // As those of before were written.
            .feed(filter: "#", log: .memory, after: "b", group: 0, ends: nil),
        ]
        for rest in rests { #expect(RetainedRest(rest.text) == rest) }
        for text in [
            "", "\u{0}", "\u{0}9a/#\u{0}x", "\u{0}\u{0}", "\u{0}1a\u{0}\u{0}1,2,3,4", "\u{0}1a\u{0}\u{0}1,2,3,4,x", "\u{0}fa\u{0}", "a\u{0}b",
        ] {
            #expect(RetainedRest(text) == nil)
        }
    }

    /// After a lost connection, what is newer than the subscription comes as a value only if it did not wait as a message.
    @Test(arguments: [false, true])
    func whatIsNewerComesOnce(isResumed: Bool) throws {
        var feeds = RetainedFeeds()
        let filter = try self.filter("a/#")
        feeds.add(filter, for: filter, reader: filter, logs: [.durable], ends: Self.ends, isResumed: isResumed)
        for (offset, qos, isDue) in [(100, 1, true), (101, 1, false), (101, 2, false), (101, 0, isResumed), (100, 0, true)] as [(UInt64, UInt8, Bool)]
        {
            var marks = MessageMarks()
            marks.qos = qos
            let value = StoredMessage(
                id: MessageID(high: 1, low: offset), offset: offset, priority: .low, at: 0, expiresAt: .max, collapseKey: nil, liveOnly: false,
                marks: marks, fragment: [])
            #expect(feeds.isDue(value, of: "a/1", now: 0) == isDue, "\(offset), QoS \(qos)")
        }
    }

    @Test func aMessageWaitsOnlyForValuesThatAreStillToCome() throws {
        var feeds = try self.feeds("a/#", "b/#")
        #expect(feeds.owing("a/1", in: .memory).count == 1)
        #expect(feeds.owing("a/1", in: .durable).isEmpty)
        #expect(feeds.owing("c", in: .memory).isEmpty)
        feeds.turn(Self.page("a/1", "a/2"))
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
        feeds.turn(Self.page("0"))
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

    @Test func pagesWithoutNamesAreSkipped() throws {
        var feeds = try self.feeds("+/x", logs: [.memory, .durable])
        feeds.turn(Self.page(reached: "b"))
        #expect(feeds.next?.after == "b")
        #expect(feeds.owing("b/x", in: .memory).count == 1)
        #expect(feeds.owing("a/x", in: .memory).isEmpty)
        feeds.turn(Self.page("b/x", reached: "c"))
        feeds.pass("b/x")
        #expect(feeds.next?.after == "c")
        feeds.turn(Self.page())
        #expect(feeds.next?.log == .durable)
        feeds.skip(to: "z")
        #expect(feeds.owing("a/x", in: .durable).isEmpty)
        feeds.endLog()
        #expect(feeds.isEmpty)
    }

    /// Names that no filter asks for cost nothing: only those of its range are looked at.
    @Test func aFilterLooksAtItsOwnRange() throws {
        var topics = TopicFixture(history: 0)
        for index in 0..<2_000 { try topics.publish("t/\(index)", retain: .set) }
        for name in ["a", "a/1", "a!", "a0", "b/c/1", "b/c"] { try topics.publish(name, retain: .set) }
        for (filter, looks) in [("a/#", 3), ("a/+", 1), ("b/c/#", 2), ("b/+/1", 2), ("nothing/#", 0), ("t/7", 1), ("t/x", 0)] {
            let page = topics.table.retainedNames(try topics.filter(filter), app: .dev, after: nil, limit: 100, looks: 100)
            #expect(page.looks == looks, "\(filter)")
            #expect(page.reached == nil)
        }
        let page = topics.table.retainedNames(try topics.filter("+/x"), app: .dev, after: nil, limit: 100, looks: 100)
        #expect(page.looks == 100 && page.names.isEmpty && page.reached != nil)
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
            let looks = Int.random(in: 1...100, using: &random)
            var after: String?
            var turns = 0
            repeat {
                let page = topics.table.retainedNames(filter, app: .dev, after: after, limit: limit, looks: looks)
                #expect(page.names.count <= limit && page.looks <= looks)
                found += page.names
                after = page.reached
                turns += 1
            } while after != nil && turns <= 2 * names.count
            #expect(found.map { Array($0.utf8) } == expected)
        }
    }
}
