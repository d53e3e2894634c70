import Dispatch
import Logging
import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import NIOCore
import NIOEmbedded
import Synchronization

/// An embedded loop that counts how often it is woken from outside.
final class CountingLoop: EventLoop, @unchecked Sendable {
    let embedded = EmbeddedEventLoop()
    let wakes = Atomic<Int>(0)

    var inEventLoop: Bool { self.embedded.inEventLoop }

    func execute(_ task: @escaping @Sendable () -> Void) {
        self.wakes.wrappingAdd(1, ordering: .relaxed)
        self.embedded.execute(task)
    }

    func scheduleTask<T>(deadline: NIODeadline, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        self.embedded.scheduleTask(deadline: deadline, task)
    }

    func scheduleTask<T>(in delay: TimeAmount, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        self.embedded.scheduleTask(in: delay, task)
    }

    func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        self.embedded.shutdownGracefully(queue: queue, callback)
    }

    func preconditionInEventLoop(file: StaticString, line: UInt) {}
    func preconditionNotInEventLoop(file: StaticString, line: UInt) {}
}

/// A client that writes down what it is told.
final class Recorder: LiveClient {
    var welcome: Welcome?
    var refusal: WireError?
    var messages: [Delivery] = []
    var gaps: [GapNotice] = []
    var topics: [TopicDelivery] = []
    var topicGaps: [TopicGap] = []
    var gapCursor: Cursor?
    var subscribed: [SubscribedNotice] = []
    var unsubscribed: [(filter: String, reason: UnsubscribeReason)] = []
    var presence: [PresenceEvent] = []
    var heartbeats = 0
    var flushes = 0
    var settledCount = 0
    var closed: CloseCode?
    var retryAfterMs: Int64?
    /// Whether the socket takes everything at once.
    var takes = true
    /// Ends with the first flush or when there is nothing to say, as a poll does.
    var onSettled: (() -> Void)?

    func opened(_ welcome: Welcome) { self.welcome = welcome }
    func refused(_ error: WireError) { self.refusal = error }
    func send(_ delivery: borrowing Delivery) { self.messages.append(copy delivery) }
    func gap(_ gap: GapNotice) { self.gaps.append(gap) }
    func send(_ delivery: borrowing TopicDelivery) { self.topics.append(copy delivery) }
    func gap(_ gap: TopicGap, cursor: Cursor) {
        self.topicGaps.append(gap)
        self.gapCursor = cursor
    }
    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) { self.subscribed += notices }
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) { self.unsubscribed.append((filter.text, reason)) }
    func presence(_ event: PresenceEvent) { self.presence.append(event) }
    func settled() {
        self.settledCount += 1
        self.onSettled?()
    }
    func heartbeat() { self.heartbeats += 1 }
    func flush() -> Bool {
        self.flushes += 1
        return self.takes
    }
    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        self.closed = code
        self.retryAfterMs = retryAfterMs
    }
}

/// A node on two embedded loops and a store in memory: everything happens when the test says so.
final class NodeFixture {
    let clock = ManualClock()
    let loops = [CountingLoop(), CountingLoop()]
    let store: MemoryLogStore
    let namespaces: TestNamespaces
    let node: Node

    /// - Parameters:
    ///   - steps: whether the store answers only in ``stepStore()``.
    ///   - topics: how topics behave, by namespace.
    init(steps: Bool = false, topics: [String: TopicOptions] = [:]) {
        let clock = self.clock
        let random = Mutex(SeededRandom(seed: 7))
        self.namespaces = TestNamespaces(options: topics)
        self.store = MemoryLogStore(disk: MemoryDisk(), clock: clock, steps: steps)
        self.node = Node(
            store: self.store, loops: self.loops, limits: Limits(),
            clock: NodeClock(now: { clock.now }, wall: { clock.wall }, random: { random.withLock { $0.next() } }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, namespaces: self.namespaces)
    }

    /// Runs both loops until nothing is left to do now.
    func settle() {
        for _ in 0..<8 { for loop in self.loops { loop.embedded.run() } }
    }

    /// Lets a stepped store do what waits.
    func stepStore() {
        self.store.commit(.max)
        while self.store.deliver() {}
    }

    /// Time passes on the clock and on the loops, in steps of 50 ms.
    func advance(_ milliseconds: Int64) {
        for _ in 0..<milliseconds / 50 {
            self.clock.advance(50)
            for loop in self.loops { loop.embedded.advanceTime(by: .milliseconds(50)) }
            self.settle()
        }
    }

    func hello(_ user: String, _ device: String?, ack: AckMode = .explicit) -> Hello {
        Hello(app: .dev, user: user, device: device, ackMode: ack, limits: Limits())
    }

    /// Opens a session and waits until it stands.
    func connect(_ user: String, _ device: String?, shard: Int = 0) -> (client: Recorder, handle: any SessionHandle) {
        let client = Recorder()
        let handle = self.node.open(self.hello(user, device), client: client, shard: shard)
        self.settle()
        return (client, handle)
    }

    /// Publishes to a user; the loops do not run yet.
    @discardableResult
    func publish(_ user: String, _ count: Int = 1) -> [AppendOutcome] {
        let outcomes = Mutex<[AppendOutcome]>([])
        let request = AppendRequest(app: .dev, targets: [.user(user, in: .dev)], members: Array(#""data":1"#.utf8))
        self.node.publish(Array(repeating: request, count: count)) { result in outcomes.withLock { $0 = result } }
        return outcomes.withLock { $0 }
    }
}

/// Options by the first level of a topic's name.
final class TestNamespaces: TopicNamespaces {
    private let table: Mutex<[String: TopicOptions]>

    init(options: [String: TopicOptions]) { self.table = Mutex(options) }

    func set(_ options: TopicOptions, _ name: String) { self.table.withLock { $0[name] = options } }

    func options(of topic: String, in app: AppID) -> TopicOptions {
        self.table.withLock { $0[String(topic.prefix { $0 != "/" })] } ?? TopicOptions()
    }
}
