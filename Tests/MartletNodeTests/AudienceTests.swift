import MartletCore
import MartletNode
import MartletWire
import Synchronization
import Testing

/// Who is there to hear, as bridges are told.
@Suite struct AudienceTests {
    private let fixture = NodeFixture()
    private let topic = TopicKey(app: .dev, name: "live/scores")

    private func connect(_ topics: [String], user: String? = nil, shard: Int = 0) throws -> any SessionHandle {
        var hello = Hello(app: .dev, user: user, device: nil, ackMode: .none, limits: Limits())
        hello.rights = .everything
        hello.topics = try topics.map { SubscribeWish(filter: try TopicFilter(parsing: $0, limits: Limits())) }
        let handle = self.fixture.node.open(hello, client: Recorder(), shard: shard)
        self.fixture.settle()
        return handle
    }

    @Test("A topic has subscribers by its name and by filters, on any loop, and is told when that may have changed")
    func topics() throws {
        let told = Counter()
        self.fixture.node.watchSubscribers(of: self.topic) { told.add() }
        #expect(!self.fixture.node.hasSubscribers(self.topic))
        let elsewhere = try self.connect(["live/other", "other/#"])
        #expect(told.take() == 0)
        let named = try self.connect(["live/scores"])
        #expect(told.take() == 1)
        let filtered = try self.connect(["live/+"], shard: 1)
        #expect(told.take() == 1)
        #expect(self.fixture.node.hasSubscribers(self.topic))
        #expect(!self.fixture.node.hasSubscribers(TopicKey(app: AppID(2), name: "live/scores")))
        named.clientClosed()
        self.fixture.settle()
        #expect(told.take() == 1)
        #expect(self.fixture.node.hasSubscribers(self.topic))
        filtered.clientClosed()
        elsewhere.clientClosed()
        self.fixture.settle()
        #expect(told.take() == 1)
        #expect(!self.fixture.node.hasSubscribers(self.topic))
    }

    @Test("Asking within the callback neither waits nor lags behind")
    func reentrant() throws {
        let seen = Mutex<[Bool]>([])
        let node = self.fixture.node
        let topic = self.topic
        node.watchSubscribers(of: topic) {
            let now = node.hasSubscribers(topic)
            seen.withLock { $0.append(now) }
        }
        try self.connect(["live/scores"]).clientClosed()
        self.fixture.settle()
        #expect(seen.withLock { $0 } == [true, false])
    }

    @Test("A user is there with the first session and gone with the last")
    func users() throws {
        let seen = Mutex<[String]>([])
        let node = self.fixture.node
        node.watchUsers(in: .dev) { user in
            let mark = node.isPresent(user, in: .dev) ? "+" : "-"
            seen.withLock { $0.append(mark + user) }
        }
        let first = try self.connect([], user: "alice")
        let second = try self.connect([], user: "alice", shard: 1)
        #expect(!node.isPresent("bob", in: .dev))
        first.clientClosed()
        self.fixture.settle()
        #expect(node.isPresent("alice", in: .dev))
        second.clientClosed()
        self.fixture.settle()
        #expect(seen.withLock { $0.first } == "+alice")
        #expect(seen.withLock { $0.last } == "-alice")
        #expect(!node.isPresent("alice", in: .dev))
    }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    func add() { self.value.wrappingAdd(1, ordering: .relaxed) }
    func take() -> Int { self.value.exchange(0, ordering: .relaxed) }
}
