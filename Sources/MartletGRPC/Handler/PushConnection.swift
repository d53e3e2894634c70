import MartletCore
import MartletNet
import MartletProto
import MartletWire
import NIOCore
import SwiftProtobuf

/// A session: `ConnectRequest`s in, `ConnectResponse`s out, over a call of gRPC or within a WebSocket. What is delivered is the session's
/// business. Confined to its event loop.
final class PushConnection: StreamConnection, Swept, GRPCCall, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// Nothing but a hello may come.
        case new
        /// Who it is, and where the session starts, is being found out; nothing is read.
        case opening
        case open
        /// It was told that the server goes down: acks that are under way are still taken.
        case leaving
        case closing
    }

    let services: GRPCServices
    let loop: GRPCLoop
    let state: LoopState
    let peer: Peer
    let form: PushForm
    /// A token that came with the request, before it was looked at.
    private(set) var credential: String?
    /// nil within a WebSocket.
    let call: GRPCStream?
    var context: ChannelHandlerContext?
    var handle: (any SessionHandle)?
    // Unchecked: only the loop uses it, and no call runs within a change of it.
    @exclusivity(unchecked) var output = StreamOutput()
    var phase = Phase.new
    /// By when the hello must have come.
    private let deadline: NIODeadline
    // Who it is, once that is known.
    var app = AppID.dev
    var user: String?
    /// A token is being checked; what came after it waits.
    var isChecking = false
    /// Publishes without an outcome.
    var publishes = 0
    /// Bytes of answers since the socket took all.
    var answerBytes = 0
    private var isReadingPaused = false
    /// How a session ends that is leaving, and since when.
    private var farewell: (status: GRPCStatus, code: CloseCode, at: NIODeadline)?
    private var isRequestEnded = false
    /// Messages of a WebSocket that wait to be taken.
    private var waiting: [ByteBuffer] = []
    /// The request that the core answers within the call.
    var ref: UInt64 = 0
    /// What the core says of an unsubscribe within the call; nil outside of it.
    var ended: [ProtoUnsubscribed]?
    private var pingID: UInt64 = 0
    private var pingedAt: NIODeadline?

    /// With more publishes without an outcome, nothing is read from it.
    static let publishesMost = 64
    /// Time that the acks of a client get that is told to go.
    private static let leaveTime = TimeAmount.milliseconds(500)
    /// Bytes of answers that wait for the socket: with more, nothing is read from who does not read.
    private static let answersMost = 65_536

    /// - Parameter call: what carries the session; nil within a WebSocket.
    init(
        services: GRPCServices, loop: GRPCLoop, state: LoopState, peer: Peer, form: PushForm, credential: String?, call: GRPCStream?
    ) {
        self.services = services
        self.loop = loop
        self.state = state
        self.peer = peer
        self.form = form
        self.credential = credential
        self.call = call
        self.deadline = .now() + .seconds(Int64(services.limits.headSeconds))
        self.state.watch(self)
    }

    /// A call of `Push.Connect`.
    ///
    /// - Throws: `unauthorized` for metadata that no token can be in.
    static func connect(_ stream: GRPCStream) throws(WireError) -> PushConnection {
        let credential = try GRPCAccess.bearer(stream.head?.authorization) ?? stream.head?.apiKey
        guard let context = stream.context, let peer = stream.takePeer() else { throw GRPCServices.draining }
        let push = PushConnection(
            services: stream.services, loop: stream.connection.loop, state: stream.state, peer: peer,
            form: stream.head?.wantsGzip == true ? .grpcGzip : .grpc, credential: credential, call: stream)
        do {
            try context.pipeline.syncOperations.addHandler(push, position: .after(stream))
        } catch {
            peer.leave()
            throw WireError(.internalError, "The call could not be taken.")
        }
        return push
    }

    // MARK: Channel

    func sweep(now: NIODeadline) {
        guard self.context != nil else { return self.state.unwatch(self) }
        switch self.phase {
        case .new where now > self.deadline:
            let seconds = self.services.limits.headSeconds
            self.refuse(WireError(.requestTimeout, "No hello came within \(seconds) seconds.", limit: seconds))
        case .new, .opening: return
        case .leaving:
            guard let farewell, now - farewell.at > Self.leaveTime else { return }
            self.leave()
        case .open, .closing: break
        }
        self.state.unwatch(self)
    }

    func quiesce() {
        // The node tells those with a session.
        if self.phase == .new { self.refuse(GRPCServices.draining) }
    }

    /// A message of a WebSocket.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let message = self.unwrapInboundIn(data)
        guard self.phase != .closing else { return }
        self.handle?.heard()
        guard self.takesMessages, self.waiting.isEmpty else {
            self.waiting.append(message)
            return
        }
        self.received(message)
        if !self.takesMessages { self.pauseReading() }
    }

    // MARK: Requests

    var messageBytes: Int { self.services.messageBytes }

    var isSigned: Bool { self.phase == .open }

    var takesMessages: Bool {
        switch self.phase {
        case .new, .leaving: true
        case .open:
            !self.isChecking && self.publishes < Self.publishesMost
                && !(self.output.isWaiting && self.answerBytes > Self.answersMost)
        case .opening, .closing: false
        }
    }

    func received(_ message: ByteBuffer) {
        self.handle?.heard()
        do throws(WireError) {
            // What comes most by far is not made an object of.
            if let seq = AckFrame.upTo(message) {
                guard let handle = self.handle else { throw Self.helloFirst }
                try handle.ack(.upTo(seq))
            } else {
                try self.take(try Self.request(message))
            }
        } catch {
            self.refuse(error)
        }
        if self.phase != .new, self.phase != .opening { self.flush() }
    }

    static let helloFirst = WireError(.unauthorized, "The first request is a hello, which says who connects.")

    private static func request(_ message: ByteBuffer) throws(WireError) -> ProtoConnectRequest {
        do {
            return try ProtoConnectRequest(serializedBytes: Array(message.readableBytesView))
        } catch {
            throw WireError(.badRequest, "This is no martlet.v1.ConnectRequest.")
        }
    }

    /// It takes messages again.
    func resumeReading() {
        guard self.context != nil, self.takesMessages else { return }
        while self.takesMessages, !self.waiting.isEmpty { self.received(self.waiting.removeFirst()) }
        guard self.takesMessages else { return }
        if self.isReadingPaused {
            self.isReadingPaused = false
            try? self.context?.channel.syncOptions?.setOption(.autoRead, value: true)
        }
        self.call?.readOn()
    }

    /// A client that sends without reading the answers waits until it has read some; one that publishes, until some are answered.
    func pauseReading() {
        guard !self.isReadingPaused, self.phase != .closing else { return }
        self.isReadingPaused = true
        try? self.context?.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func requestEnded() {
        self.isRequestEnded = true
        self.endIfDone()
    }

    /// A client that has said all leaves once its publishes are answered.
    private func endIfDone() {
        guard self.isRequestEnded, self.publishes == 0, self.phase != .closing else { return }
        if self.phase == .leaving { return self.leave() }
        guard self.phase == .open else { return self.refuse(Self.helloFirst) }
        self.phase = .closing
        let handle = self.handle
        self.handle = nil
        handle?.clientClosed()
        var status = GRPCStatus.ok
        status.close = .normal
        self.finish(status, .normal)
    }

    /// The call is over.
    func over() {
        self.phase = .closing
        self.waiting = []
        let handle = self.handle
        self.handle = nil
        handle?.clientClosed()
    }

    func socketTook() {
        self.answerBytes = 0
        self.handle?.socketTook()
        if !self.takesMessages || self.isReadingPaused { self.resumeReading() }
        self.call?.readOn()
    }

    /// A publish has its outcome.
    func settledPublish() {
        self.publishes -= 1
        guard self.context != nil, self.phase == .open else { return }
        self.flush()
        self.resumeReading()
        self.endIfDone()
    }

    // MARK: Heartbeats

    func heartbeat() {
        self.pingID += 1
        self.pingedAt = .now()
        self.send(ServerFrames.ping(self.pingID))
    }

    func ponged(_ id: UInt64) {
        guard let pingedAt, id == self.pingID else { return }
        self.pingedAt = nil
        self.services.metrics.roundTrip(.now() - pingedAt, self.form == .webSocket ? .websocket : .grpc)
    }

    // MARK: Ending

    /// Says what is wrong, then ends the session.
    func refuse(_ error: WireError) {
        guard self.phase != .closing else { return }
        self.services.refused(error.code)
        let close = error.code.close
        // Before a session stands, the status alone says it.
        if self.phase == .open || self.form == .webSocket { self.send(ServerFrames.error(error)) }
        self.phase = .closing
        let handle = self.handle
        self.handle = nil
        handle?.clientClosed()
        var status = GRPCStatus(error)
        status.close = close
        self.finish(status, close)
    }

    /// Ends the session a moment later, so that acks that are under way are taken.
    func leave(with status: GRPCStatus, _ code: CloseCode) {
        self.phase = .leaving
        self.farewell = (status, code, .now())
        self.flush()
        self.state.watch(self)
        // Acks behind what was not taken any more are taken, too. Not within the call that says it.
        self.context?.eventLoop.assumeIsolated().execute { self.resumeReading() }
    }

    private func leave() {
        guard let farewell, self.phase == .leaving else { return }
        self.phase = .closing
        let handle = self.handle
        self.handle = nil
        handle?.clientClosed()
        self.finish(farewell.status, farewell.code)
    }

    /// Gives up the token.
    func takeCredential() -> String? {
        defer { self.credential = nil }
        return self.credential
    }

    /// Ends the call, or the WebSocket, after what was written.
    func finish(_ status: GRPCStatus, _ code: CloseCode) {
        self.waiting = []
        self.flush()
        if let call = self.call {
            call.finish(status)
        } else if let context = self.context {
            let reason = status.error?.rawValue ?? code.reason
            context.triggerUserOutboundEvent(CarriedEnd(code: code, reason: reason), promise: nil)
        }
    }
}
