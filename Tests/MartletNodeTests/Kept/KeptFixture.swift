import Logging
import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

/// A client that acks messages of topics, as it is beyond its connections.
final class Device {
    enum Answer: Equatable {
        case ack(UInt16)
        case received(UInt16)
        case done(UInt16)
    }

    let name: String
    let user: String?
    /// What the application got, in order.
    var delivered: [String] = []
    /// Numbers of messages that it has and must not take again.
    var once: Set<UInt16> = []
    var answers: [Answer] = []
    var connection: Connection?

    init(_ name: String, user: String? = "alice") {
        self.name = name
        self.user = user
    }

    /// Messages that were sent on this connection.
    var sent: [Connection.Sent] { self.connection?.sent ?? [] }

    /// Answers what came, at most so many.
    ///
    /// - Returns: whether there was something.
    @discardableResult
    func answer(_ most: Int = .max) -> Bool {
        let now = self.answers.prefix(most)
        self.answers.removeFirst(now.count)
        for answer in now {
            switch answer {
            case .ack(let number):
                self.connection?.unacked.remove(number)
                #expect(self.connection?.handle?.acked(number: number) == true)
            case .done(let number):
                self.connection?.unacked.remove(number)
                #expect(self.connection?.handle?.completed(number: number) == true)
            case .received(let number): #expect(self.connection?.handle?.received(number: number, isRefused: false) == true)
            }
        }
        return !now.isEmpty
    }

    /// The connection breaks without a word.
    func breaks() {
        self.connection?.handle?.clientClosed()
        self.connection = nil
        self.answers = []
    }
}

/// One connection of a device.
final class Connection: LiveClient {
    struct Sent: Equatable {
        var text: String
        var ticket: DeliveryTicket
        var offset: UInt64
        var isRetained: Bool

        static func == (left: Sent, right: Sent) -> Bool { left.text == right.text && left.ticket.number == right.ticket.number }
    }

    let device: Device
    var handle: (any SessionHandle)?
    var welcome: Welcome?
    var refusal: WireError?
    var sent: [Sent] = []
    var released: [UInt16] = []
    var inbox: [Delivery] = []
    var gaps: [TopicGap] = []
    var closed: CloseCode?
    var flushes = 0
    /// Whether something was queued since the last flush.
    var isUnflushed = false
    /// Whether the socket takes everything at once.
    var takes = true
    /// Messages under way that are to be acked, and the most there were.
    var unacked: Set<UInt16> = []
    var most = 0

    init(_ device: Device) { self.device = device }

    var texts: [String] { self.sent.map(\.text) }
    var standing: SessionStanding? { self.welcome?.standing }

    func opened(_ welcome: Welcome) { self.welcome = welcome }
    func refused(_ error: WireError) { self.refusal = error }
    func send(_ delivery: borrowing Delivery) { self.inbox.append(copy delivery) }
    func gap(_ gap: GapNotice) {}
    func send(_ delivery: borrowing TopicDelivery) { Issue.record("a message without a ticket") }

    func send(_ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket) {
        if self.closed != nil { Issue.record("a message after the end") }
        self.isUnflushed = true
        // Otherwise nobody hears it.
        guard self.device.connection === self else { return }
        let text = Self.text(delivery.message)
        self.sent.append(Sent(text: text, ticket: ticket, offset: delivery.message.offset, isRetained: delivery.isRetained))
        guard ticket.qos > 0 else { return self.device.delivered.append(text) }
        self.unacked.insert(ticket.number)
        self.most = max(self.most, self.unacked.count)
        switch ticket.qos {
        case 1:
            self.device.delivered.append(text)
            self.device.answers.append(.ack(ticket.number))
        default:
            if self.device.once.insert(ticket.number).inserted { self.device.delivered.append(text) }
            self.device.answers.append(.received(ticket.number))
        }
    }

    func release(_ number: UInt16) {
        if self.closed != nil { Issue.record("a release after the end") }
        self.isUnflushed = true
        guard self.device.connection === self else { return }
        self.released.append(number)
        self.device.once.remove(number)
        self.device.answers.append(.done(number))
    }

    func gap(_ gap: TopicGap, cursor: Cursor) { self.gaps.append(gap) }
    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {}
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {}
    func presence(_ event: PresenceEvent) {}
    func settled() {}
    func heartbeat() {}
    func flush() -> Bool {
        self.flushes += 1
        self.isUnflushed = false
        return self.takes
    }
    func close(_ code: CloseCode, retryAfterMs: Int64?) { self.closed = code }

    static func text(_ message: StoredMessage) -> String {
        String(String(decoding: message.fragment, as: UTF8.self).split(separator: #""data":""#).last?.dropLast() ?? "")
    }
}

/// A node on two embedded loops that can be restarted on what its store has kept.
final class KeptFixture {
    let clock = ManualClock()
    let disk = MemoryDisk()
    let namespaces: TestNamespaces
    let limits: Limits
    private let steps: Bool
    private let random = Mutex(SeededRandom(seed: 7))
    var loops: [CountingLoop] = []
    private(set) var store: MemoryLogStore
    private(set) var node: Node
    var devices: [Device] = []

    init(steps: Bool = false, topics: [String: TopicOptions] = [:], _ change: (inout Limits) -> Void = { _ in }) {
        var limits = Limits()
        change(&limits)
        self.limits = limits
        self.steps = steps
        self.namespaces = TestNamespaces(options: topics)
        (self.store, self.node, self.loops) = Self.start(self.disk, self.clock, limits, self.namespaces, steps, seed: 7)
        self.load()
    }

    private static func start(
        _ disk: MemoryDisk, _ clock: ManualClock, _ limits: Limits, _ namespaces: TestNamespaces, _ steps: Bool, seed: UInt64
    ) -> (MemoryLogStore, Node, [CountingLoop]) {
        let random = Mutex(SeededRandom(seed: seed))
        let store = MemoryLogStore(disk: disk, clock: clock, steps: steps)
        let loops = [CountingLoop(), CountingLoop()]
        let node = Node(
            store: store, loops: loops, limits: limits,
            clock: NodeClock(now: { clock.now }, wall: { clock.wall }, random: { random.withLock { $0.next() } }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, namespaces: namespaces)
        return (store, node, loops)
    }

    private func load() {
        self.node.loadSessions { error in #expect(error == nil) }
        if self.steps { self.stepStore() }
        self.settle()
    }

    /// The process dies and starts again.
    ///
    /// - Parameter committing: changes that wait and reach the disk all the same.
    func crash(committing count: Int = 0) {
        self.store.crash(committing: count)
        for device in self.devices {
            device.connection = nil
            device.answers = []
        }
        (self.store, self.node, self.loops) = Self.start(
            self.disk, self.clock, self.limits, self.namespaces, self.steps, seed: self.random.withLock { $0.next() })
        self.load()
    }

    // MARK: Time

    func settle() {
        for _ in 0..<12 { for loop in self.loops { loop.embedded.run() } }
    }

    /// Lets everything happen, with every device answering.
    func run() {
        repeat {
            self.settle()
            if self.steps { self.stepStore() }
            self.settle()
        } while self.devices.reduce(false) { $1.answer() || $0 }
    }

    func stepStore() {
        for _ in 0..<4 {
            self.store.commit(.max)
            while self.store.deliver() {}
            while self.store.waitingSnapshots > 0 { self.store.takeSnapshot(0) }
            while self.store.waitingResults > 0 { self.store.deliverRead(0) }
            self.settle()
        }
    }

    func advance(_ milliseconds: Int64) {
        for _ in 0..<milliseconds / 50 {
            self.clock.advance(50)
            for loop in self.loops { loop.embedded.advanceTime(by: .milliseconds(50)) }
            self.settle()
        }
    }

    // MARK: Clients

    func device(_ name: String, user: String? = "alice") -> Device {
        let device = Device(name, user: user)
        self.devices.append(device)
        return device
    }

    @discardableResult
    func connect(
        _ device: Device, clean: Bool = false, expiry: Int = 3_600, will: Will? = nil, window: Int = 10, shard: Int = 0,
        rights: TopicRights = .everything, settle: Bool = true
    ) -> Connection {
        var hello = Hello(app: .dev, user: device.user, device: device.name, ackMode: .none, limits: self.limits)
        hello.transport = .mqtt
        hello.rights = rights
        hello.terms = SessionTerms(isClean: clean, expirySeconds: expiry, will: will, windowMessages: window)
        let connection = Connection(device)
        device.answers = []
        if clean { device.once = [] }
        device.connection = connection
        connection.handle = self.node.open(hello, client: connection, shard: shard)
        if settle { self.settle() }
        return connection
    }

    @discardableResult
    func subscribe(
        _ device: Device, _ text: String, qos: UInt8, share: String? = nil, settle: Bool = true, _ change: (inout SubscribeOptions) -> Void = { _ in }
    ) throws -> Bool {
        var wish = SubscribeWish(filter: try TopicFilter(parsing: text, limits: Limits()))
        wish.options.qos = qos
        wish.options.share = share
        change(&wish.options)
        var isDone = false
        try device.connection?.handle?.subscribe([wish]) { error in isDone = error == nil }
        if settle { self.settle() }
        return isDone
    }

    @discardableResult
    func unsubscribe(_ device: Device, _ text: String, share: String? = nil) throws -> [Bool] {
        var found: [Bool] = []
        device.connection?.handle?.unsubscribe([(try TopicFilter(parsing: text, limits: Limits()), share)]) { found = $0 }
        self.settle()
        return found
    }

    // MARK: Publishing

    func request(
        _ topic: String, _ text: String, qos: UInt8 = 2, ttl: Int = 3_600, retain: TopicAppend.Retain = .leave
    ) -> AppendRequest {
        var request = AppendRequest(
            app: .dev, targets: [], ttl: ttl, topic: TopicAppend(name: topic, retain: retain),
            members: Array(#""topic":"\#(topic)","data":"\#(text)""#.utf8))
        request.marks.qos = qos
        request.marks.isRetained = retain == .set
        return request
    }

    @discardableResult
    func publish(
        _ topic: String, _ text: String, qos: UInt8 = 2, ttl: Int = 3_600, retain: TopicAppend.Retain = .leave
    ) -> [AppendOutcome] {
        let outcomes = Outcomes()
        self.node.publish([self.request(topic, text, qos: qos, ttl: ttl, retain: retain)]) { outcomes.set($0) }
        self.settle()
        return outcomes.value
    }

    /// Publishes exactly once.
    ///
    /// - Returns: nil while it is not known what became of it.
    func publish(_ device: Device, _ topic: String, _ text: String, number: UInt16) throws -> Outcomes {
        let outcomes = Outcomes()
        try device.connection?.handle?.publishOnce(self.request(topic, text), number: number) { outcomes.set([$0]) }
        self.settle()
        return outcomes
    }

    /// A message of an inbox.
    func publish(toUser user: String) {
        self.node.publish([AppendRequest(app: .dev, targets: [.user(user, in: .dev)], members: Array(#""data":"x""#.utf8))]) { _ in }
        self.settle()
    }

    /// The records of sessions that the store has.
    var rows: [SessionRow] {
        let rows = Mutex<[SessionRow]>([])
        self.store.loadSessions { result in rows.withLock { $0 = (try? result.get()) ?? [] } }
        if self.steps { self.stepStore() }
        return rows.withLock { $0 }
    }

    /// What waits in a topic's queue.
    func waiting(_ topic: String) -> Int {
        let count = Mutex(0)
        self.store.topicInfo(TopicKey(app: .dev, name: QueueTopic.name(of: topic)), now: self.clock.now) { result in
            count.withLock { $0 = (try? result.get().messages) ?? -1 }
        }
        return count.withLock { $0 }
    }
}

extension SessionHandle {
    /// Publishes as a transport does whose client numbers its messages.
    func publishOnce(_ request: AppendRequest, number: UInt16, done: @escaping @Sendable (AppendOutcome) -> Void) throws {
        guard let ready = try self.ready(request, number: number) else { return done(.stored(MessageID(high: 0, low: 0), repeated: true)) }
        let handle = Unchecked(self)
        self.publishReady([ready]) { outcomes in
            let outcome = outcomes.first ?? .failed(StoreError(.stopped))
            if case .failed = outcome { handle.value.forget(number: number) }
            done(outcome)
        }
    }
}

/// Handed to another thread by a test that has only one.
private struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension [AppendOutcome] {
    var isStored: Bool {
        guard self.count == 1, case .stored = self[0] else { return false }
        return true
    }
}
