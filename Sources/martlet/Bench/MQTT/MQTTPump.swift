import NIOCore
import NIOPosix

/// What publishers that go as fast as they are answered have done.
struct MQTTPumpCounts: Sendable {
    /// Since the beginning: sent, and answered.
    var sent = 0
    var acked = 0
    /// Answered since the last reset, and how long that took from the publish on.
    var measured = 0
    var answers = Histogram()
    /// Connections that the broker ended, or that could not be made.
    var failed = 0
    var problem: String?

    mutating func add(_ other: MQTTPumpCounts) {
        self.sent += other.sent
        self.acked += other.acked
        self.measured += other.measured
        self.answers.add(other.answers)
        self.failed += other.failed
        self.problem = self.problem ?? other.problem
    }
}

/// What a publisher of QoS 1 publishes.
struct MQTTPumpPlan: Sendable {
    let client: String
    let topics: [String]
    /// Messages that each may have unanswered.
    let window: Int
    let bytes: Int
    let login: MQTTLogin
}

/// The publishers of one event loop; used on it only.
final class MQTTPumpLoop {
    let loop: any EventLoop
    var counts = MQTTPumpCounts()
    var isRunning = false
    var pumps: [MQTTPump] = []

    init(loop: any EventLoop) { self.loop = loop }
}

/// One connection that publishes with QoS 1 and always has as many messages unanswered as it may.
final class MQTTPump: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let keepAlive = 3_600

    private let loop: MQTTPumpLoop
    private let plan: MQTTPumpPlan
    /// From 0 on.
    private let index: Int
    private let topic: [UInt8]
    private var context: ChannelHandlerContext?
    private var reader = MQTTReader()
    private var unanswered: MQTTUnanswered
    private var number = 0
    let opening: EventLoopPromise<Void>
    private var isOpen = false
    private var isOver = false

    init(loop: MQTTPumpLoop, plan: MQTTPumpPlan, index: Int) {
        self.loop = loop
        self.plan = plan
        self.index = index
        self.topic = MQTTPacket.text(plan.topics[index % plan.topics.count])
        self.unanswered = MQTTUnanswered(window: plan.window)
        self.opening = loop.loop.makePromise()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.plan.login.watch(context) { if !self.isOpen { self.end(self.plan.login.late) } }
        self.write(
            MQTTPacket.connect(client: "\(self.plan.client)\(self.index)", isClean: true, keepAlive: Self.keepAlive, login: self.plan.login))
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Publishes as much as it may.
    func fill() {
        guard self.loop.isRunning, self.isOpen, let context = self.context, self.unanswered.count < self.plan.window else { return }
        let now = LoadLoop.now()
        var bytes: [UInt8] = []
        while let id = self.unanswered.add(now) {
            self.number += 1
            self.loop.counts.sent += 1
            var payload: [UInt8] = []
            Stamp(time: now, number: self.number, stream: self.index + 1).append(to: &payload, length: self.plan.bytes)
            var message = MQTTPacket.message(self.topic, payload, qos: 1)
            MQTTPacket.setID(id, in: &message)
            bytes += message
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    func close() {
        self.isOver = true
        self.write(MQTTPacket.disconnect)
        self.context?.close(promise: nil)
    }

    private func write(_ bytes: [UInt8]) {
        guard let context = self.context else { return }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let now = LoadLoop.now()
        let isMQTT = self.reader.read(self.unwrapInboundIn(data)) { first, body in
            switch first & 0xf0 {
            case MQTTPacket.puback:
                guard body.count >= 2, let sent = self.unanswered.remove(UInt16(body[0]) << 8 | UInt16(body[1])) else { return }
                self.loop.counts.acked += 1
                self.loop.counts.measured += 1
                self.loop.counts.answers.add(now &- sent)
            case MQTTPacket.connack:
                guard body.count >= 2, body[1] == 0 else { return self.end(MQTTPacket.refusal(body.count >= 2 ? body[1] : 0xff)) }
                self.isOpen = true
                self.opening.succeed()
            default: break
            }
        }
        if !isMQTT { self.end("what came from the broker is not MQTT") }
    }

    func channelReadComplete(context: ChannelHandlerContext) { self.fill() }

    func channelInactive(context: ChannelHandlerContext) {
        self.end("the broker ended the connection of a publisher")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.end("\(error)") }

    private func end(_ why: String) {
        guard !self.isOver else { return }
        self.isOver = true
        self.loop.counts.failed += 1
        self.loop.counts.problem = self.loop.counts.problem ?? why
        if !self.isOpen { self.opening.fail(ClientError(message: "nothing can be published: \(why)", isTemporary: false)) }
        self.context?.close(promise: nil)
    }
}

/// Many of them, spread over event loops.
struct MQTTPumps: Sendable {
    private let loops: [NIOLoopBound<MQTTPumpLoop>]
    private let eventLoops: [any EventLoop]

    /// Connects publishers.
    ///
    /// - Throws: if one of them cannot be connected.
    init(on eventLoops: [any EventLoop], address: SocketAddress, count: Int, plan: MQTTPumpPlan) async throws {
        var loops: [NIOLoopBound<MQTTPumpLoop>] = []
        for (number, loop) in eventLoops.enumerated() {
            let bound = try await loop.submit { NIOLoopBound(MQTTPumpLoop(loop: loop), eventLoop: loop) }.get()
            loops.append(bound)
            for index in stride(from: number, to: count, by: eventLoops.count) {
                try await loop.flatSubmit { () -> EventLoopFuture<Void> in
                    ClientBootstrap(group: loop).connectTimeout(.seconds(10)).connect(to: address).assumeIsolated().flatMap { channel in
                        let pump = MQTTPump(loop: bound.value, plan: plan, index: index)
                        do {
                            try channel.pipeline.syncOperations.addHandler(pump)
                        } catch {
                            return loop.makeFailedFuture(error)
                        }
                        bound.value.pumps.append(pump)
                        return pump.opening.futureResult
                    }.nonisolated()
                }.get()
            }
        }
        self.loops = loops
        self.eventLoops = eventLoops
    }

    func start() async throws {
        try await self.each { loop in
            loop.isRunning = true
            for pump in loop.pumps { pump.fill() }
        }
    }

    /// Counts answers and times anew.
    func reset() async throws {
        try await self.each { loop in
            loop.counts.measured = 0
            loop.counts.answers = Histogram()
        }
    }

    /// Publishes no more.
    func stop() async throws { try await self.each { $0.isRunning = false } }

    func close() async throws { try await self.each { loop in for pump in loop.pumps { pump.close() } } }

    func counts() async throws -> MQTTPumpCounts {
        var sum = MQTTPumpCounts()
        for (loop, eventLoop) in zip(self.loops, self.eventLoops) { sum.add(try await eventLoop.submit { loop.value.counts }.get()) }
        return sum
    }

    private func each(_ body: @escaping @Sendable (MQTTPumpLoop) -> Void) async throws {
        let futures = zip(self.loops, self.eventLoops).map { loop, eventLoop in eventLoop.submit { body(loop.value) } }
        for future in futures { try await future.get() }
    }
}
