import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// Topics on a node of two loops, without sockets.
@Suite struct TopicTests {
    /// Keeps a thousand messages in memory.
    static var kept: TopicOptions {
        var options = TopicOptions()
        options.historyMessages = 1_000
        return options
    }

    static var durable: TopicOptions {
        var options = Self.kept
        options.storage = .durable
        return options
    }

    let fixture: NodeFixture

    init() {
        var short = Self.kept
        short.historyMessages = 3
        var room = TopicOptions()
        room.presence = true
        self.fixture = NodeFixture(topics: ["kept": Self.kept, "stored": Self.durable, "short": short, "room": room])
    }

    private func filter(_ text: String) throws -> TopicFilter { try TopicFilter(parsing: text, limits: Limits()) }

    private func hello(_ topics: [String], since: TopicStart = .latest, user: String? = nil) throws -> Hello {
        var hello = Hello(app: .dev, user: user, device: user.map { "\($0)-phone" }, ackMode: .none, limits: Limits())
        hello.rights = .everything
        hello.topics = try topics.map { SubscribeWish(filter: try self.filter($0), start: since, presence: $0.hasPrefix("room")) }
        return hello
    }

    private func connect(_ hello: Hello, shard: Int = 0) -> (client: Recorder, handle: any SessionHandle) {
        let client = Recorder()
        let handle = self.fixture.node.open(hello, client: client, shard: shard)
        self.fixture.settle()
        return (client, handle)
    }

    @discardableResult
    private func publish(
        _ topic: String, _ text: String, ttl: Int = 60, retain: TopicAppend.Retain = .leave, settle: Bool = true
    ) -> [AppendOutcome] {
        let outcomes = Outcomes()
        self.fixture.node.publish([
            AppendRequest(
                app: .dev, targets: [], ttl: ttl, topic: TopicAppend(name: topic, retain: retain),
                members: Array(#""topic":"\#(topic)","data":"\#(text)""#.utf8))
        ]) { outcomes.set($0) }
        if settle { self.fixture.settle() }
        return outcomes.value
    }

    private func texts(_ client: Recorder) -> [String] {
        client.topics.map { delivery in
            let fragment = String(decoding: delivery.message.fragment, as: UTF8.self)
            return String(fragment.split(separator: #""data":""#).last?.dropLast() ?? "")
        }
    }

    @Test func aMessageReachesEverySubscriberOnBothLoops() throws {
        let first = self.connect(try self.hello(["news"]), shard: 0).client
        let second = self.connect(try self.hello(["news"]), shard: 1).client
        let other = self.connect(try self.hello(["other"]), shard: 1).client
        let wild = self.connect(try self.hello(["#"]), shard: 0).client
        self.publish("news", "a")
        #expect(self.texts(first) == ["a"])
        #expect(self.texts(second) == ["a"])
        #expect(self.texts(wild) == ["a"])
        #expect(other.topics.isEmpty)
        #expect(first.topics[0].frames === wild.topics[0].frames)
        #expect(first.topics[0].cursor == nil)
    }

    @Test func whatIsPublishedInOneTurnWakesEachLoopOnceAndFlushesOnce() throws {
        let first = self.connect(try self.hello(["news"])).client
        let wakes = self.fixture.loops.map { $0.wakes.load(ordering: .relaxed) }
        let flushes = first.flushes
        for number in 0..<50 { self.publish("news", "\(number)", settle: false) }
        self.fixture.settle()
        #expect(self.texts(first) == (0..<50).map { "\($0)" })
        #expect(first.flushes == flushes + 1)
        #expect(self.fixture.loops[0].wakes.load(ordering: .relaxed) == wakes[0] + 1)
        #expect(self.fixture.loops[1].wakes.load(ordering: .relaxed) == wakes[1])
    }

    @Test(arguments: ["kept/a", "stored/a", "kept/+", "stored/#"])
    func whoComesBackGetsJustWhatWasMissed(filter: String) throws {
        let topic = filter.replacing("+", with: "a").replacing("#", with: "a")
        let (client, handle) = self.connect(try self.hello([filter]))
        for number in 0..<5 { self.publish(topic, "\(number)") }
        let cursor = try #require(client.topics.last?.cursor)
        handle.clientClosed()
        for number in 5..<9 { self.publish(topic, "\(number)") }
        var hello = try self.hello([filter])
        hello.cursor = try Cursor(parsing: cursor.description)
        let back = self.connect(hello, shard: 1).client
        self.publish(topic, "9")
        #expect(self.texts(client) == ["0", "1", "2", "3", "4"])
        #expect(self.texts(back) == ["5", "6", "7", "8", "9"])
        #expect(back.topicGaps.isEmpty)
    }

    @Test(arguments: ["kept/a", "stored/a"])
    func aSubscriberBeginsWhereItWishes(topic: String) throws {
        for number in 0..<4 {
            self.publish(topic, "\(number)")
            self.fixture.clock.advance(1_000)
        }
        let starts: [(TopicStart, [String])] = [
            (.latest, []), (.earliest, ["0", "1", "2", "3"]), (.last(2), ["2", "3"]), (.last(9), ["0", "1", "2", "3"]),
            (.time(self.fixture.clock.wall - 2_000), ["2", "3"]),
        ]
        for (start, expected) in starts {
            let client = self.connect(try self.hello([topic], since: start)).client
            #expect(self.texts(client) == expected, "\(start)")
        }
    }

    @Test func whatIsKeptNoLongerIsAGap() throws {
        let (client, handle) = self.connect(try self.hello(["short/a"]))
        self.publish("short/a", "0")
        let cursor = try #require(client.topics.last?.cursor)
        handle.clientClosed()
        for number in 1..<8 { self.publish("short/a", "\(number)") }
        var hello = try self.hello(["short/a"])
        hello.cursor = cursor
        let back = self.connect(hello).client
        #expect(self.texts(back) == ["5", "6", "7"])
        let place = try #require(cursor.topics)
        #expect(back.topicGaps == [TopicGap(topic: "short/a", reason: .trimmed, from: place.memory, to: place.memory + 4)])
    }

    @Test func aGapWithNothingAfterItIsToldOnce() throws {
        let (client, handle) = self.connect(try self.hello(["kept/a"]))
        self.publish("kept/a", "0")
        let cursor = try #require(client.topics.last?.cursor)
        handle.clientClosed()
        self.publish("kept/a", "1", ttl: 200_000)
        // Older than a day: kept no longer.
        self.fixture.clock.advance(90_000_000)
        var hello = try self.hello(["kept/a"])
        hello.cursor = cursor
        let back = self.connect(hello).client
        #expect(back.topics.isEmpty)
        #expect(back.topicGaps.map(\.reason) == [.trimmed])
        hello.cursor = try #require(back.gapCursor)
        #expect(self.connect(hello).client.topicGaps.isEmpty)
    }

    @Test(arguments: ["kept/a", "stored/a"])
    func whoReadsSlowlyCatchesUpFromTheLog(topic: String) throws {
        let slow = self.connect(try self.hello([topic]))
        let quick = self.connect(try self.hello([topic])).client
        slow.client.takes = false
        let numbers = (0..<300).map { "\($0)-" + String(repeating: "x", count: 1_000) }
        for number in numbers { self.publish(topic, number) }
        #expect(quick.topics.count == 300)
        let early = slow.client.topics.count
        #expect(early > 0 && early * 1_000 <= Limits().windowBytes)
        for _ in 0..<20 {
            slow.handle.socketTook()
            self.fixture.settle()
        }
        #expect(self.texts(slow.client).elementsEqual(numbers), "in order, and whole")
        #expect(slow.client.topicGaps.isEmpty)
        slow.client.takes = true
        slow.handle.socketTook()
        self.publish(topic, "last")
        #expect(self.texts(slow.client).last == "last")
    }

    @Test func whoReadsSlowlyIsToldWhatIsGoneWhereNothingIsKept() throws {
        let slow = self.connect(try self.hello(["news"]))
        slow.client.takes = false
        for number in 0..<200 { self.publish("news", "\(number)-" + String(repeating: "x", count: 1_000)) }
        let sent = slow.client.topics.count
        #expect(sent < 100)
        slow.handle.socketTook()
        self.fixture.settle()
        let last = try #require(slow.client.topics.last).message.offset
        #expect(slow.client.topicGaps == [TopicGap(topic: "news", reason: .slow, from: last, to: last + UInt64(200 - sent))])
        slow.client.takes = true
        slow.handle.socketTook()
        self.publish("news", "after")
        #expect(self.texts(slow.client).last == "after")
    }

    @Test func aCursorHoldsInboxAndTopics() throws {
        let (client, handle) = self.connect(try self.hello(["kept/a"], user: "alice"))
        self.publish("kept/a", "0")
        let outcomes = Outcomes()
        self.fixture.node.publish([
            AppendRequest(app: .dev, targets: [.user("alice", in: .dev)], members: Array(#""data":1"#.utf8))
        ]) { outcomes.set($0) }
        self.fixture.settle()
        let cursor = try #require(client.messages.last?.cursor)
        handle.clientClosed()
        self.publish("kept/a", "1")
        var hello = try self.hello(["kept/a"], user: "alice")
        hello.cursor = try Cursor(parsing: cursor.description)
        let back = self.connect(hello).client
        #expect(self.texts(back) == ["1"])
        #expect(back.messages.isEmpty)
    }

    @Test(arguments: ["news", "stored/a"])
    func theRetainedValueComesFirst(topic: String) throws {
        self.publish(topic, "old", retain: .set)
        self.publish(topic, "value", retain: .set)
        self.publish(topic, "passing")
        let client = self.connect(try self.hello([topic])).client
        #expect(self.texts(client) == ["value"])
        #expect(client.topics.first?.isRetained == true)
        self.publish(topic, "", retain: .clear)
        #expect(self.connect(try self.hello([topic])).client.topics.isEmpty)
    }

    @Test func whatIsTakenBackWhileItIsReadIsNotSent() throws {
        let fixture = NodeFixture(steps: true, topics: ["stored": Self.durable])
        let outcomes = Outcomes()
        let append = AppendRequest(
            app: .dev, targets: [], ttl: 60, topic: TopicAppend(name: "stored/a"), members: Array(#""topic":"stored/a""#.utf8))
        fixture.node.publish([append, append]) { outcomes.set($0) }
        fixture.stepStore()
        guard case .stored(let id, _) = outcomes.value.first else { throw WireError(.internalError, "not stored") }
        let client = Recorder()
        _ = fixture.node.open(try self.hello(["stored/a"], since: .earliest), client: client, shard: 0)
        fixture.settle()
        // The read has found both; one is taken back before its answer has come.
        fixture.store.takeSnapshot(0)
        fixture.node.recall(id, app: .dev) { _ in }
        fixture.stepStore()
        fixture.settle()
        fixture.store.deliverRead(0)
        fixture.settle()
        #expect(client.topics.count == 1)
        #expect(client.topics.first?.message.id != id)
    }

    @Test func aRightThatIsWithdrawnEndsTheSubscription() throws {
        var hello = try self.hello(["news/a", "news/b"], user: "alice")
        hello.rights = TopicRights([.init(pattern: try self.filter("news/+"), actions: .subscribe)])
        let (client, handle) = self.connect(hello)
        #expect(client.welcome?.topics.map(\.filter.text) == ["news/a", "news/b"])
        let less = TopicRights([.init(pattern: try self.filter("news/b"), actions: .subscribe)])
        try handle.renew(app: .dev, user: "alice", device: nil, expiresAtMs: nil, rights: less)
        #expect(client.unsubscribed.map(\.filter) == ["news/a"])
        #expect(client.unsubscribed.map(\.reason) == [.forbidden])
        self.publish("news/a", "a")
        self.publish("news/b", "b")
        #expect(self.texts(client) == ["b"])
        #expect(throws: WireError.self) { try handle.subscribe([SubscribeWish(filter: try self.filter("news/a"))]) }
        hello.rights = less
        #expect(self.connect(hello).client.refusal?.code == .forbidden)
    }

    @Test func aNamespaceThatIsClosedEndsItsSubscriptions() throws {
        var hello = try self.hello(["room/a", "news"], user: "alice")
        hello.rights = TopicRights([.init(pattern: try self.filter("#"), actions: .all)])
        let client = self.connect(hello).client
        var closed = TopicOptions()
        closed.subscribe = .none
        self.fixture.namespaces.set(closed, "room")
        self.fixture.node.namespacesChanged()
        self.fixture.settle()
        #expect(client.unsubscribed.map(\.filter) == ["room/a"])
        self.publish("room/a", "a")
        self.publish("news", "b")
        #expect(self.texts(client) == ["b"])
    }

    @Test func aRenewedTokenWithoutPresenceEndsTheTelling() throws {
        var hello = try self.hello(["room/a"], user: "alice")
        hello.rights = TopicRights([.init(pattern: try self.filter("room/+"), actions: .all)])
        let (client, handle) = self.connect(hello)
        self.fixture.advance(1_100)
        client.presence = []
        let less = TopicRights([.init(pattern: try self.filter("room/+"), actions: .subscribe)])
        try handle.renew(app: .dev, user: "alice", device: nil, expiresAtMs: nil, rights: less)
        _ = self.connect(try self.hello(["room/a"], user: "carl"))
        self.fixture.advance(1_100)
        #expect(client.presence.isEmpty)
        self.publish("room/a", "a")
        #expect(self.texts(client) == ["a"])
    }

    @Test func aStormOverManyTopicsIsToldInParts() throws {
        let watcher = self.connect(try self.hello(["room/#"])).client
        for number in 0..<1_200 { _ = self.connect(try self.hello(["room/\(number)"], user: "u\(number)"), shard: number) }
        self.fixture.advance(1_000)
        #expect(watcher.presence.count <= 500)
        self.fixture.advance(1_000)
        #expect(Set(watcher.presence.map(\.topic)).count == 1_200)
    }

    @Test func subscribingAndLeavingOnALiveSession() throws {
        let (client, handle) = self.connect(try self.hello([], user: "alice"))
        try handle.subscribe([SubscribeWish(filter: try self.filter("news")), SubscribeWish(filter: try self.filter("kept/#"))])
        #expect(client.subscribed.map(\.filter.text) == ["news", "kept/#"])
        self.publish("news", "a")
        self.publish("kept/x/y", "b")
        handle.unsubscribe([try self.filter("news")])
        self.publish("news", "c")
        self.publish("kept/z", "d")
        #expect(self.texts(client) == ["a", "b", "d"])
        #expect(client.unsubscribed.map(\.filter) == ["news"])
    }

    /// A store that cannot be read is not one without values.
    @Test func aRetainedValueThatCannotBeReadComesLater() throws {
        self.publish("stored/a", "on", retain: .set)
        self.fixture.store.cannotRead = true
        let client = self.connect(try self.hello(["stored/a", "stored/+"])).client
        var poll = try self.hello(["stored/a"])
        poll.isPoll = true
        poll.transport = .poll
        let refused = self.connect(poll).client
        #expect(client.topics.isEmpty && client.closed == nil)
        #expect(refused.closed == .storeUnavailable)
        self.fixture.store.cannotRead = false
        self.fixture.advance(Limits().heartbeatMs + 1_000)
        #expect(self.texts(client) == ["on"])
        #expect(client.topics.allSatisfy { $0.isRetained })
        self.fixture.advance(Limits().heartbeatMs + 1_000)
        #expect(client.topics.count == 1)
    }

    @Test func filtersThatOverlapBringARetainedValueOnce() throws {
        self.publish("kept/a", "on", retain: .set)
        #expect(self.texts(self.connect(try self.hello(["kept/a", "kept/#"])).client) == ["on"])
    }

    @Test func unsubscribingFromWhatIsNotThereIsAnswered() throws {
        let (client, handle) = self.connect(try self.hello([], user: "alice"))
        handle.unsubscribe([try self.filter("never")])
        #expect(client.unsubscribed.map(\.filter) == ["never"])
        #expect(client.unsubscribed.map(\.reason) == [.notSubscribed])
    }

    @Test func twoSubscriptionsToOneTopicGetOneMessage() throws {
        let client = self.connect(try self.hello(["kept/a", "kept/#", "#"])).client
        self.publish("kept/a", "a")
        self.publish("other", "b")
        #expect(self.texts(client) == ["a", "b"])
    }

    @Test func aStormOfJoinsIsOneEvent() throws {
        let watcher = self.connect(try self.hello(["room/a"])).client
        self.fixture.advance(1_100)
        watcher.presence = []
        for number in 0..<500 { _ = self.connect(try self.hello(["room/a"], user: "u\(number)"), shard: number) }
        self.fixture.advance(1_100)
        #expect(watcher.presence.count == 1)
        #expect(watcher.presence.first?.joinedCount == 500)
        #expect(watcher.presence.first?.joined.count == 100)
        #expect(watcher.presence.first?.count == 501)
        #expect(self.fixture.node.presence(TopicKey(app: .dev, name: "room/a"), limit: 10, after: nil).count == 501)
    }

    @Test func nothingIsLeftOfSessionsThatWent() throws {
        let sessions = try (0..<20).map { self.connect(try self.hello(["kept/\($0 % 3)", "kept/+"]), shard: $0).handle }
        #expect(self.fixture.node.sessions == 20)
        for session in sessions { session.clientClosed() }
        self.fixture.settle()
        #expect(self.fixture.node.sessions == 0)
        let wakes = self.fixture.loops.map { $0.wakes.load(ordering: .relaxed) }
        self.publish("kept/1", "a")
        #expect(self.fixture.loops.map { $0.wakes.load(ordering: .relaxed) } == wakes)
    }
}

/// What a publish came to.
final class Outcomes: Sendable {
    private let state = Mutex<[AppendOutcome]>([])
    var value: [AppendOutcome] { self.state.withLock { $0 } }
    func set(_ outcomes: [AppendOutcome]) { self.state.withLock { $0 = outcomes } }
}
