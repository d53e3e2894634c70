import NIOCore

/// How subscribers connect.
struct MQTTSession: Sendable {
    /// What clients are called, with their number after it.
    var client: String
    var qos: UInt8
    var login: MQTTLogin
    /// Whether the broker forgets the session when the connection ends.
    var isClean = true
    /// Seconds; how often a ``Fleet`` pings is said apart.
    var keepAlive = Self.keepAlive

    static let keepAlive = 60

    /// Names of one subscriber's filters.
    static func filters(_ path: String) -> [String] { path.split(separator: "\n").map(String.init) }
}

/// The client's end of a subscriber: subscribes to the lines of its member's path, answers what has QoS 1, and counts what comes.
final class MQTTSubscriber: ChannelInboundHandler, MemberConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: LoadLoop
    private let member: Member
    private let session: MQTTSession
    private let started: UInt64
    private var context: ChannelHandlerContext?
    private var reader = MQTTReader()
    private var isOpen = false
    private var isDone = false
    /// PUBACKs of what was read in one go.
    private var acks: [UInt8] = []
    private var pinged: UInt64 = 0

    init(loop: LoadLoop, member: Member, session: MQTTSession, started: UInt64) {
        self.loop = loop
        self.member = member
        self.session = session
        self.started = started
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        guard context.channel.isActive else { return self.end("the connection was reset") }
        self.session.login.watch(context) { if !self.isOpen { self.refuse(self.session.login.late) } }
        self.send(
            MQTTPacket.connect(
                client: "\(self.session.client)\(self.member.index)", isClean: self.session.isClean, keepAlive: self.session.keepAlive,
                login: self.session.login))
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = self.unwrapInboundIn(data)
        let now = LoadLoop.now()
        self.loop.shot.counts.bytes += buffer.readableBytes
        guard self.reader.read(buffer, { self.take($0, $1, now) }) else { return self.refuse("what came from the broker is not MQTT") }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard !self.acks.isEmpty else { return }
        let acks = self.acks
        self.acks.removeAll(keepingCapacity: true)
        self.send(acks)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.end(self.isOpen ? "the broker ended the connection" : "the broker ended the connection before it answered")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.refuse("\(error)") }

    // MARK: Commands

    func drop() {
        guard !self.isDone, let context = self.context else { return }
        self.isDone = true
        if self.isOpen { self.loop.shot.counts.open -= 1 }
        self.member.connection = nil
        context.channel.abort()
    }

    func resume() { _ = self.context?.channel.setOption(.autoRead, value: true) }

    func ping() {
        guard self.isOpen else { return }
        self.pinged = LoadLoop.now()
        self.send(MQTTPacket.ping)
    }

    private func send(_ bytes: [UInt8]) {
        guard let context = self.context else { return }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    private func refuse(_ why: String) {
        self.end(why)
        self.context?.close(promise: nil)
    }

    private func end(_ why: String) {
        guard !self.isDone else { return }
        self.isDone = true
        self.member.connection = nil
        if self.loop.shot.counts.problem == nil { self.loop.shot.counts.problem = why }
        if self.isOpen {
            self.loop.shot.counts.open -= 1
            self.loop.shot.counts.closed += 1
        } else {
            self.loop.attempted(opened: false)
        }
    }

    // MARK: Packets

    private func take(_ first: UInt8, _ body: UnsafeRawBufferPointer, _ now: UInt64) {
        switch first & 0xf0 {
        case MQTTPacket.publish: self.message(first, body, now)
        case MQTTPacket.connack:
            guard body.count >= 2, body[1] == 0 else { return self.refuse(MQTTPacket.refusal(body.count >= 2 ? body[1] : 0xff)) }
            // A session that was kept has its subscriptions.
            if body[0] & 1 != 0 {
                self.opened(now)
            } else {
                self.send(MQTTPacket.subscribe(MQTTSession.filters(self.member.path), qos: self.session.qos))
            }
        case MQTTPacket.suback:
            guard body.count > 2, body[2...].allSatisfy({ $0 == self.session.qos }) else {
                return self.refuse("the broker did not grant a subscription with QoS \(self.session.qos)")
            }
            self.opened(now)
        case MQTTPacket.pingresp:
            guard self.pinged > 0 else { return }
            self.loop.shot.pings.add(now &- self.pinged)
            self.pinged = 0
        default: break
        }
    }

    private func opened(_ now: UInt64) {
        guard !self.isOpen, !self.isDone else { return }
        self.isOpen = true
        self.loop.shot.counts.open += 1
        self.loop.shot.opening.add(now &- self.started)
        self.loop.attempted(opened: true)
    }

    private func message(_ first: UInt8, _ body: UnsafeRawBufferPointer, _ now: UInt64) {
        guard body.count >= 2 else { return self.refuse("a message from the broker is too short") }
        var at = 2 + (Int(body[0]) << 8 | Int(body[1]))
        if first & 0x06 != 0 {
            guard body.count >= at + 2 else { return self.refuse("a message from the broker is too short") }
            if first & 0x06 == 2 { MQTTPacket.appendAck(UInt16(body[at]) << 8 | UInt16(body[at + 1]), to: &self.acks) }
            at += 2
        }
        guard body.count > at else { return }
        let loop = self.loop
        let member = self.member
        Stamp.find(in: UnsafeRawBufferPointer(rebasing: body[at...])) { stamp in
            loop.shot.counts.received += 1
            if loop.shot.counts.first == 0 { loop.shot.counts.first = now }
            loop.shot.counts.last = now
            guard stamp.number > 0 else { return }
            if member.add(stamp.number, stream: stamp.stream) {
                loop.shot.counts.distinct += 1
                loop.shot.latency.add(now > stamp.time ? now - stamp.time : 0)
            } else {
                loop.shot.counts.duplicates += 1
            }
        }
    }
}
