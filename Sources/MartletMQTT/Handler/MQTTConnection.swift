import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// A connection that speaks MQTT, by itself or within a WebSocket: packets in, packets out. What is delivered is the session's business.
/// Confined to its event loop.
final class MQTTConnection: StreamConnection, Swept, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// Nothing but a CONNECT may come.
        case new
        /// Who it is and what is kept for it is being found out; nothing is read.
        case opening
        case open
        case closing
    }

    let services: MQTTServices
    let mail: OutcomeMail
    let state: LoopState
    let peer: Peer
    private let isDirect: Bool
    /// A token that came with the request for the WebSocket.
    let credential: String?
    var context: ChannelHandlerContext?
    var handle: (any SessionHandle)?
    // Unchecked: only the loop uses it, and no call runs within a change of it.
    @exclusivity(unchecked) var output = StreamOutput()
    private var decoder: MQTTStreamDecoder
    var encoder = MQTTEncoder(version: .v311)
    var phase = Phase.new
    /// By when the CONNECT must have come; after a DISCONNECT, by when the connection is closed, whatever the store does.
    private var deadline: NIODeadline
    /// The client has said that it goes, and the store has not all of that yet.
    private var isLeaving = false
    private var isReadingPaused = false
    // Who it is, once that is known.
    var app = AppID.dev
    var user: String?
    var clientID = ""
    /// The API key that it has shown instead of a token: looked at again with each sweep.
    var key: KeyGrant?
    /// Whether it has an inbox: an API key has none.
    var mayHaveInbox = false
    var assignedID: String?
    var askedKeepAlive: UInt16 = 0
    var askedExpiry: UInt32 = 0
    var askedAliases: UInt16 = 0
    /// nil for a client that takes none.
    var aliasesOut: OutAliases?
    /// Messages that may be under way to the client.
    var window = 0
    /// Whether messages of the inbox are acked.
    var isInboxAcked = false
    /// Whether the session is older than the connection.
    var isResumed = false
    /// Whether it is told what it misses; and what it was not, as it has not asked for that yet.
    var wantsGaps = false
    var untoldGaps: [ByteBuffer] = []
    /// Number of the last inbox message.
    var lastSeq: UInt64 = 0
    /// Topics by the client's aliases.
    var aliases: [UInt16: String] = [:]
    /// Publishes of QoS 1 and 2 in their order, from the first that is not answered.
    var answers = PublishAnswers()
    /// Messages read in this turn, to be published together.
    var batch = PublishBatch()
    /// Publishes of any QoS whose outcome is not known.
    var unanswered = 0
    /// Numbers of the client's own that are not done.
    var openNumbers = 0

    /// With more publishes without an outcome, nothing is read from it.
    private static let unansweredMost = 1_024
    /// Bytes that the socket has not taken: with more, nothing is read from who does not read. Above any window.
    private static let unreadLimit = 262_144
    /// How long a store that does not answer keeps the connection of a client that has taken leave.
    private static let leaveTime = TimeAmount.seconds(5)

    init(_ connection: NewConnection, services: MQTTServices, mail: OutcomeMail) {
        self.services = services
        self.mail = mail
        self.state = connection.state
        self.peer = connection.peer
        self.isDirect = connection.isDirect
        self.credential = connection.credential
        self.deadline = .now() + .seconds(Int64(services.limits.headSeconds))
        self.decoder = MQTTStreamDecoder(
            MQTTDecoder(
                limits: .init(packetBytes: services.packetBytes, filters: services.limits.topicsPerSession, topicAlias: MQTTServices.topicAliases)))
        self.state.watch(self)
    }

    // MARK: Channel

    func sweep(now: NIODeadline) {
        guard self.context != nil else { return self.state.unwatch(self) }
        switch self.phase {
        case .new where now > self.deadline:
            self.services.metrics.disconnected(.keepAliveTimeout)
            self.context?.close(promise: nil)
        case .closing where self.isLeaving && now > self.deadline: self.leave()
        case .new, .opening: return
        case .closing where self.isLeaving: return
        case .open where self.key != nil:
            if let key = self.key, self.services.gatekeeper.hasEnded(key) {
                self.disconnect(.notAuthorized, "the API key was revoked, or its time is over")
            }
            return
        case .open, .closing: break
        }
        self.state.unwatch(self)
    }

    func quiesce() {
        // The node tells those with a session.
        if self.phase == .new { self.context?.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = self.unwrapInboundIn(data)
        guard self.phase != .closing else { return }
        self.handle?.heard()
        self.decoder.feed(&buffer)
        if self.phase != .opening { self.decode() }
    }

    /// Takes what has come apart, and answers it.
    func decode() {
        var packets = 0
        var publishes = 0
        do throws(MQTTError) {
            while self.phase == .new || self.phase == .open, let packet = try self.decoder.next() {
                packets += 1
                if case .publish = packet { publishes += 1 }
                try self.received(packet)
            }
        } catch {
            self.fail(error)
        }
        self.services.metrics.read(packets: packets, publishes: publishes)
        self.publishBatch()
        if !self.flushOutput() || self.unanswered >= Self.unansweredMost { self.pauseReading() }
    }

    private func received(_ packet: MQTTPacket) throws(MQTTError) {
        if self.phase == .new {
            guard case .connect(let connect) = packet else { throw MQTTError(.protocolError, "a connection begins with CONNECT") }
            return try self.connect(connect)
        }
        switch packet {
        case .publish(let publish): try self.publish(publish)
        case .ack(let ack): self.acked(ack)
        case .pingreq: self.send(.pingresp)
        case .subscribe(let subscribe): self.subscribe(subscribe)
        case .unsubscribe(let unsubscribe): self.unsubscribe(unsubscribe)
        case .disconnect(let disconnect): try self.disconnected(disconnect)
        case .connect: throw MQTTError(.protocolError, "CONNECT comes once")
        case .auth: throw MQTTError(.protocolError, "there is no enhanced authentication here")
        case .connack, .suback, .unsuback, .pingresp: throw MQTTError(.protocolError, "this packet is the server's")
        }
    }

    /// A client that sends without reading the answers waits until it has read some; one that publishes, until some are answered.
    func pauseReading(always: Bool = false) {
        guard !self.isReadingPaused, let channel = self.context?.channel,
            always || self.unanswered >= Self.unansweredMost || StreamOutput.unread(channel) > Self.unreadLimit
        else { return }
        self.isReadingPaused = true
        try? channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func resumeReading() {
        guard self.isReadingPaused, self.phase != .opening, self.unanswered < Self.unansweredMost, let channel = self.context?.channel else {
            return
        }
        self.isReadingPaused = false
        try? channel.syncOptions?.setOption(.autoRead, value: true)
    }

    func socketTook() {
        self.resumeReading()
        self.handle?.socketTook()
    }

    // MARK: Packets out

    func send(_ packet: MQTTPacket, capacity: Int = 64) {
        guard self.phase != .closing else { return }
        self.output.append(capacity) { self.encoder.encode(packet, into: &$0) }
    }

    // MARK: Ending

    /// The client has broken the protocol, or asks for what it cannot have.
    func fail(_ error: MQTTError) {
        if self.phase == .new {
            self.encoder.version = self.decoder.version ?? .v311
            // Only a CONNECT is answered (§3.1.4); what is none speaks another protocol.
            guard self.decoder.version != nil else { return self.end(error.code) }
            return self.refuse(error.code, error.reason)
        }
        self.disconnect(error.code, error.reason)
    }

    /// Refuses a CONNECT, then ends the connection.
    func refuse(_ code: MQTTReasonCode, _ reason: String) {
        guard self.phase != .closing else { return }
        self.services.metrics.connected(code)
        var connack = MQTTPacket.Connack(code)
        // Of a version that is not known nobody knows whether it has properties.
        if code != .unsupportedProtocolVersion { connack.properties.reasonString = reason }
        self.output.append(128) { self.encoder.encode(.connack(connack), into: &$0) }
        self.phase = .closing
        self.finishOutput()
    }

    /// Says why, then ends the connection.
    func disconnect(_ code: MQTTReasonCode, _ reason: String? = nil, serverReference: String? = nil) {
        guard self.phase != .closing else { return }
        if self.encoder.version == .v5 {
            var disconnect = MQTTPacket.Disconnect(code)
            disconnect.properties.reasonString = reason
            disconnect.properties.serverReference = serverReference
            self.send(.disconnect(disconnect), capacity: 128)
        }
        self.end(code)
    }

    private func end(_ code: MQTTReasonCode) {
        self.services.metrics.disconnected(code)
        self.phase = .closing
        self.finishOutput()
    }

    /// DISCONNECT (§3.14.4).
    private func disconnected(_ disconnect: MQTTPacket.Disconnect) throws(MQTTError) {
        let expiry = disconnect.properties.sessionExpiryInterval
        if let expiry, expiry > 0, self.askedExpiry == 0 {
            throw MQTTError(.protocolError, "a session that was to end with its connection cannot be kept after all")
        }
        // Before the session's end, or what is stored with them would be its record again.
        self.publishBatch()
        self.phase = .closing
        self.isLeaving = true
        self.deadline = .now() + Self.leaveTime
        self.state.watch(self)
        guard let handle = self.handle else { return self.leave() }
        // Who sees the connection closed knows that the will is gone for good, and the session as it was told to.
        handle.leaves(
            withWill: disconnect.reason != .normalDisconnection, expirySeconds: expiry.map { min(Int($0), self.services.options.sessionExpiryMax) }
        ) { [self] in self.leave() }
    }

    private func leave() {
        guard self.isLeaving else { return }
        self.isLeaving = false
        self.finishOutput()
    }

    /// The session stands: packets that came with the CONNECT are read now.
    func opened() {
        self.phase = .open
        self.output.sendDirectly(to: self.isDirect ? self.context.flatMap { DirectSocket(of: $0.channel) } : nil)
        self.resumeReading()
        // Not within the opening: whoever opens the session does not hold it yet.
        self.context?.eventLoop.assumeIsolated().execute { if self.phase == .open { self.decode() } }
    }
}
