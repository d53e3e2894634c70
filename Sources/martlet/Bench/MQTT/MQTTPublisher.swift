import NIOCore

/// How messages are published over MQTT.
struct MQTTPublishing: PublishWay {
    let address: SocketAddress
    /// What clients are called, with a random number after it.
    let client: String
    let qos: UInt8
    let window: Int
    let login: MQTTLogin

    func head(topic: String) -> [UInt8] { MQTTPacket.text(topic) }

    func request(_ head: [UInt8], _ payload: [UInt8]) -> [UInt8] { MQTTPacket.message(head, payload, qos: self.qos) }

    func connection(_ pacer: Pacer) -> any PacedConnection { MQTTPublisher(pacer: pacer, way: self) }
}

/// The client's end of a connection that only publishes. With QoS 0 a message counts as accepted once the socket took it.
final class MQTTPublisher: ChannelInboundHandler, PacedConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Long: what publishes has no need to ping.
    private static let keepAlive = 3_600

    private let pacer: Pacer
    private let way: MQTTPublishing
    private var context: ChannelHandlerContext?
    private var reader = MQTTReader()
    private var unanswered: MQTTUnanswered
    /// Of QoS 0, not taken by the socket yet.
    private var unsent = 0
    private let opening: EventLoopPromise<Void>
    private var isReady = false
    private var isOver = false
    private var problem: String?

    init(pacer: Pacer, way: MQTTPublishing) {
        self.pacer = pacer
        self.way = way
        self.unanswered = MQTTUnanswered(window: way.window)
        self.opening = pacer.loop.makePromise()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        guard context.channel.isActive else { return self.end() }
        let client = self.way.client + String(UInt32.random(in: 0...(.max)), radix: 36)
        self.way.login.watch(context) {
            guard !self.isReady, !self.isOver else { return }
            self.problem = self.problem ?? self.way.login.late
            self.context?.close(promise: nil)
        }
        self.write(MQTTPacket.connect(client: client, isClean: true, keepAlive: Self.keepAlive, login: self.way.login), promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func ready() -> EventLoopFuture<Void> { self.opening.futureResult }

    func send(_ request: [UInt8], stamped: UInt64) {
        var request = request
        guard self.way.qos == 0 else {
            guard let id = self.unanswered.add(stamped) else { return self.pacer.answered(self, sent: nil, problem: "no packet identifier is free") }
            MQTTPacket.setID(id, in: &request)
            return self.write(request, promise: nil)
        }
        let promise = self.pacer.loop.makePromise(of: Void.self)
        self.unsent += 1
        promise.futureResult.assumeIsolated().whenSuccess {
            self.unsent -= 1
            self.pacer.answered(self, sent: nil, problem: nil)
        }
        self.write(request, promise: promise)
    }

    func close() {
        guard let context = self.context else { return }
        self.write(MQTTPacket.disconnect, promise: nil)
        context.close(promise: nil)
    }

    private func write(_ bytes: [UInt8], promise: EventLoopPromise<Void>?) {
        guard let context = self.context else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let isMQTT = self.reader.read(self.unwrapInboundIn(data)) { first, body in
            switch first & 0xf0 {
            case MQTTPacket.connack:
                guard body.count >= 2, body[1] == 0 else {
                    self.problem = MQTTPacket.refusal(body.count >= 2 ? body[1] : 0xff)
                    return context.close(promise: nil)
                }
                self.isReady = true
                self.opening.succeed()
            case MQTTPacket.puback:
                guard body.count >= 2, let sent = self.unanswered.remove(UInt16(body[0]) << 8 | UInt16(body[1])) else { return }
                self.pacer.answered(self, sent: sent, problem: nil)
            default: break
            }
        }
        if !isMQTT {
            self.problem = "what came from the broker is not MQTT"
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.problem = self.problem ?? "\(error)"
        context.close(promise: nil)
    }

    private func end() {
        guard !self.isOver else { return }
        self.isOver = true
        if self.isReady { return self.pacer.lost(self, unanswered: self.unanswered.count + self.unsent, problem: self.problem) }
        let problem = self.problem ?? "the broker ended a connection before it answered"
        self.opening.fail(ClientError(message: "nothing can be published: \(problem)", isTemporary: false))
    }
}

/// When the messages were sent that wait for their PUBACK.
struct MQTTUnanswered {
    private var times: [UInt64]
    private var free: [UInt16]

    var count: Int { self.times.count - self.free.count }

    /// - Parameter window: how many may wait, from 1 to 65,535.
    init(window: Int) {
        self.times = Array(repeating: 0, count: window)
        self.free = (1...window).reversed().map { UInt16($0) }
    }

    /// - Returns: the message's identifier; nil if none is free.
    mutating func add(_ time: UInt64) -> UInt16? {
        guard let id = self.free.popLast() else { return nil }
        self.times[Int(id) - 1] = max(1, time)
        return id
    }

    /// - Returns: when it was sent; nil if no message with that identifier waits.
    mutating func remove(_ id: UInt16) -> UInt64? {
        guard id > 0, Int(id) <= self.times.count, self.times[Int(id) - 1] > 0 else { return nil }
        let time = self.times[Int(id) - 1]
        self.times[Int(id) - 1] = 0
        self.free.append(id)
        return time
    }
}
