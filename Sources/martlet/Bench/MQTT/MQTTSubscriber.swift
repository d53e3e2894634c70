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
final class MQTTSubscriber: MemberConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let life: MemberLife
    var context: ChannelHandlerContext?
    // Of its life; kept here, as every message needs them.
    private let loop: LoadLoop
    private let member: Member
    private let session: MQTTSession
    private var reader = MQTTReader()
    /// PUBACKs of what was read in one go.
    private var acks: [UInt8] = []
    private var pinged: UInt64 = 0

    init(_ life: MemberLife, session: MQTTSession) {
        self.life = life
        self.loop = life.loop
        self.member = life.member
        self.session = session
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        guard context.channel.isActive else { return self.life.ended("the connection was reset") }
        self.session.login.watch(context) { if !self.life.isOpen { self.refuse(self.session.login.late) } }
        self.send(
            MQTTPacket.connect(
                client: "\(self.session.client)\(self.member.index)", isClean: self.session.isClean, keepAlive: self.session.keepAlive,
                login: self.session.login))
    }

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
        self.life.ended(self.life.isOpen ? "the broker ended the connection" : "the broker ended the connection before it answered")
        context.fireChannelInactive()
    }

    // MARK: Commands

    func ping() {
        guard self.life.isOpen else { return }
        self.pinged = LoadLoop.now()
        self.send(MQTTPacket.ping)
    }

    private func send(_ bytes: [UInt8]) {
        guard let context = self.context else { return }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
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
