import NIOCore
import NIOPosix

/// What is published: to these topics in turn, at this rate.
struct PublishPlan: Sendable {
    /// Their names.
    var topics: [String]
    /// Messages a second.
    var rate: Double
    /// How many; nil goes on until it is stopped.
    var count: Int?
    /// Bytes of one.
    var bytes: Int
    /// The number of the first one in each topic; 0 gives all of them the number 0, which is a warm-up.
    var firstNumber = 1
}

/// What came of it.
struct PublishResult: Sendable {
    /// Messages that were due, that were accepted, and that were not.
    var sent = 0
    var accepted = 0
    var refused = 0
    /// The longest that a message was late because this program was busy, in nanoseconds.
    var lateNs: UInt64 = 0
    var seconds = 0.0
    /// From the publish until its answer.
    var answers = Histogram()
    var problem: String?

    mutating func add(_ other: PublishResult) {
        self.sent += other.sent
        self.accepted += other.accepted
        self.refused += other.refused
        self.lateNs = max(self.lateNs, other.lateNs)
        self.seconds += other.seconds
        self.answers.add(other.answers)
        self.problem = self.problem ?? other.problem
    }
}

/// How a ``Pacer`` publishes.
protocol PublishWay: Sendable {
    var address: SocketAddress { get }
    /// Messages that may be unanswered on one connection.
    var window: Int { get }
    /// What is the same for all messages of a topic.
    func head(topic: String) -> [UInt8]
    /// A whole request.
    ///
    /// - Parameter head: from ``head(topic:)``.
    func request(_ head: [UInt8], _ payload: [UInt8]) -> [UInt8]
    func connection(_ pacer: Pacer) -> any PacedConnection
}

/// A connection of a ``Pacer``: tells it ``Pacer/answered(_:sent:problem:)`` for each request, and ``Pacer/lost(_:unanswered:problem:)`` once.
protocol PacedConnection: ChannelHandler {
    /// Done when it can publish; asked for once, when the handler was added.
    func ready() -> EventLoopFuture<Void>
    func send(_ request: [UInt8], stamped: UInt64)
    func close()
}

/// Publishes at a steady rate over connections that stay open; used on its event loop only.
///
/// A message is stamped when it is due, whether a connection is free or not: waiting for a server that does not keep up counts.
final class Pacer {
    /// Messages that wait for a free connection, at most; past that no more are made.
    private static let maxWaiting = 20_000
    /// The shortest pause between two rounds.
    private static let pauseNs: UInt64 = 250_000

    let loop: any EventLoop
    private let way: any PublishWay
    /// Connections that may take a message, as often as they may.
    private var free: [any PacedConnection] = []
    private var all: [any PacedConnection] = []
    private var waiting: [(request: [UInt8], stamped: UInt64)] = []
    private var nextWaiting = 0
    private var underWay = 0
    private var isClosing = false

    private var plan: PublishPlan?
    private var heads: [[UInt8]] = []
    private var started: UInt64 = 0
    /// Messages of the plan that were made until now.
    private(set) var made = 0
    private var result = PublishResult()
    private var done: EventLoopPromise<PublishResult>?

    init(loop: any EventLoop, way: any PublishWay) {
        self.loop = loop
        self.way = way
    }

    // MARK: Connections

    func connect(_ count: Int) -> EventLoopFuture<Void> {
        EventLoopFuture.andAllSucceed((0..<count).map { _ in self.connectOne() }, on: self.loop).assumeIsolated().map {
            // In turn, where each has room for several.
            self.free = (0..<self.way.window).flatMap { _ in self.all }
        }.nonisolated()
    }

    private func connectOne() -> EventLoopFuture<Void> {
        ClientBootstrap(group: self.loop).connectTimeout(.seconds(10)).connect(to: self.way.address).assumeIsolated()
            .flatMap { channel in
                let connection = self.way.connection(self)
                do {
                    try channel.pipeline.syncOperations.addHandler(connection)
                } catch {
                    return self.loop.makeFailedFuture(error)
                }
                return connection.ready().assumeIsolated().map {
                    self.all.append(connection)
                    for _ in 0..<self.way.window { self.isFree(connection) }
                }.nonisolated()
            }.nonisolated()
    }

    func close() {
        self.isClosing = true
        for connection in self.all { connection.close() }
    }

    // MARK: Publishing

    /// - Returns: what came of it, once all is answered.
    func publish(_ plan: PublishPlan) -> EventLoopFuture<PublishResult> {
        let promise = self.loop.makePromise(of: PublishResult.self)
        self.done = promise
        self.plan = plan
        self.heads = plan.topics.map { self.way.head(topic: $0) }
        self.result = PublishResult()
        self.made = 0
        self.started = LoadLoop.now()
        self.round()
        return promise.futureResult
    }

    /// Makes no more messages; what is under way is still waited for.
    func stop() {
        guard self.plan != nil else { return }
        self.plan?.count = self.made
        self.finishIfDone()
    }

    private func round() {
        guard let plan = self.plan else { return }
        let now = LoadLoop.now()
        let elapsed = now - self.started
        let due = min(plan.count ?? .max, Int(Double(elapsed) / 1e9 * plan.rate) + 1)
        if self.made < due {
            let dueAt = self.started + UInt64(Double(self.made) / plan.rate * 1e9)
            self.result.lateNs = max(self.result.lateNs, now > dueAt ? now - dueAt : 0)
        }
        while self.made < due, self.waiting.count - self.nextWaiting < Self.maxWaiting {
            let topic = self.made % plan.topics.count
            let number = plan.firstNumber == 0 ? 0 : plan.firstNumber + self.made / plan.topics.count
            self.send(self.heads[topic], Stamp(time: now, number: number, stream: 0), plan.bytes)
            self.made += 1
        }
        if self.made < plan.count ?? .max {
            let next = self.started + UInt64(Double(self.made) / plan.rate * 1e9)
            let bound = NIOLoopBound(self, eventLoop: self.loop)
            self.loop.scheduleTask(deadline: .uptimeNanoseconds(max(next, now + Self.pauseNs))) { bound.value.round() }
        }
        self.finishIfDone()
    }

    private func send(_ head: [UInt8], _ stamp: Stamp, _ bytes: Int) {
        var body: [UInt8] = []
        stamp.append(to: &body, length: bytes)
        let request = self.way.request(head, body)
        self.result.sent += 1
        // In turn, so that a server sees none of them as idle.
        if !self.free.isEmpty {
            let connection = self.free.removeFirst()
            self.underWay += 1
            connection.send(request, stamped: stamp.time)
        } else {
            self.waiting.append((request, stamp.time))
        }
    }

    // MARK: Answers

    /// - Parameters:
    ///   - sent: when the message was made; nil if nobody answers such messages.
    ///   - problem: why it was not accepted; nil if it was.
    func answered(_ connection: any PacedConnection, sent: UInt64?, problem: String?) {
        self.underWay -= 1
        if let problem {
            self.result.refused += 1
            self.result.problem = self.result.problem ?? problem
        } else {
            self.result.accepted += 1
            if let sent { self.result.answers.add(LoadLoop.now() &- sent) }
        }
        self.isFree(connection)
        self.finishIfDone()
    }

    private func isFree(_ connection: any PacedConnection) {
        guard self.nextWaiting < self.waiting.count else { return self.free.append(connection) }
        let (request, stamped) = self.waiting[self.nextWaiting]
        self.nextWaiting += 1
        if self.nextWaiting == self.waiting.count {
            self.waiting.removeAll(keepingCapacity: true)
            self.nextWaiting = 0
        }
        self.underWay += 1
        connection.send(request, stamped: stamped)
    }

    /// A connection that was ready is gone.
    ///
    /// - Parameters:
    ///   - unanswered: messages that it had sent.
    ///   - problem: why, if it is known.
    func lost(_ connection: any PacedConnection, unanswered: Int, problem: String? = nil) {
        self.free.removeAll { $0 === connection }
        self.all.removeAll { $0 === connection }
        if unanswered > 0 {
            self.underWay -= unanswered
            self.result.refused += unanswered
            self.result.problem = self.result.problem ?? problem ?? "the server ended a connection before it answered"
        }
        guard !self.isClosing else { return }
        // Servers end connections that were idle for long; another one takes its place.
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.connectOne().whenFailure { error in bound.value.isGone(error) }
        self.finishIfDone()
    }

    /// A connection could not be replaced. Without any, nothing more can be published.
    private func isGone(_ error: any Error) {
        guard self.all.isEmpty else { return }
        self.result.problem = self.result.problem ?? "the server is gone: \(error)"
        self.result.refused += self.waiting.count - self.nextWaiting
        self.waiting = []
        self.nextWaiting = 0
        self.plan?.count = self.made
        self.finishIfDone()
    }

    private func finishIfDone() {
        guard let plan = self.plan, self.made >= plan.count ?? .max, self.underWay == 0, self.nextWaiting == self.waiting.count else { return }
        self.result.seconds = Double(LoadLoop.now() - self.started) / 1e9
        self.plan = nil
        self.done?.succeed(self.result)
        self.done = nil
    }
}

/// A ``Pacer`` as others see it.
struct LoadPublisher: Sendable {
    private let loop: any EventLoop
    private let pacer: NIOLoopBound<Pacer>

    /// - Throws: if a connection cannot be made.
    init(on loop: any EventLoop, way: any PublishWay, connections: Int) async throws {
        self.loop = loop
        let pacer = try await loop.submit { NIOLoopBound(Pacer(loop: loop, way: way), eventLoop: loop) }.get()
        self.pacer = pacer
        try await loop.flatSubmit { pacer.value.connect(connections) }.get()
    }

    func publish(_ plan: PublishPlan) async throws -> PublishResult {
        let pacer = self.pacer
        return try await self.loop.flatSubmit { pacer.value.publish(plan) }.get()
    }

    /// Messages of the plan that were made until now.
    func made() async throws -> Int {
        let pacer = self.pacer
        return try await self.loop.submit { pacer.value.made }.get()
    }

    func stop() async throws {
        let pacer = self.pacer
        try await self.loop.submit { pacer.value.stop() }.get()
    }

    func close() async throws {
        let pacer = self.pacer
        try await self.loop.submit { pacer.value.close() }.get()
    }
}
