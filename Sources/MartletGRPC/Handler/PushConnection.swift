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
        case closing
    }

    let services: GRPCServices
    let loop: GRPCLoop
    let state: LoopState
    let peer: Peer
    let form: PushForm
    /// A token that came with the request, before it was looked at.
    let credential: String?
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
    /// What a subscribe brought waits for the socket: requests that came after it wait, too.
    var isHeld = false
    /// Bytes of answers since the socket took all.
    private var answerBytes = 0
    private var isReadingPaused = false
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
        case .new: true
        case .open:
            !self.isChecking && !self.isHeld && self.publishes < Self.publishesMost
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
        guard self.phase == .open else { return self.refuse(Self.helloFirst) }
        self.phase = .closing
        let handle = self.handle
        self.handle = nil
        handle?.clientClosed()
        self.finish(.ok, .normal)
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
        let wasHeld = self.isHeld
        self.isHeld = false
        self.handle?.socketTook()
        if wasHeld || !self.takesMessages || self.isReadingPaused { self.resumeReading() }
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

    // MARK: Responses

    /// Queues anything but a message.
    func send(_ response: ProtoConnectResponse) {
        guard self.phase != .closing, let bytes: [UInt8] = try? response.serializedBytes() else { return }
        self.append(bytes)
    }

    private func append(_ bytes: [UInt8]) {
        self.answerBytes += bytes.count
        switch self.form {
        case .webSocket: self.context?.write(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
        case .grpc: self.appendPlain(bytes.count) { $0.writeBytes(bytes) }
        case .grpcGzip: self.appendGzip(ByteBuffer(bytes: bytes))
        }
    }

    /// - Parameter count: bytes that `write` writes.
    private func appendPlain(_ count: Int, _ write: (inout ByteBuffer) -> Void) {
        self.output.append(count + GRPCFrameDecoder.prefixBytes) {
            PushFrames.writePrefix(count, isCompressed: false, into: &$0)
            write(&$0)
        }
    }

    private func appendGzip(_ message: ByteBuffer) {
        guard let bytes = self.loop.gzip.deflate(message) else {
            return self.appendPlain(message.readableBytes) { $0.writeImmutableBuffer(message) }
        }
        self.output.append(bytes.readableBytes + GRPCFrameDecoder.prefixBytes) {
            PushFrames.writePrefix(bytes.readableBytes, isCompressed: true, into: &$0)
            $0.writeImmutableBuffer(bytes)
        }
    }

    /// Queues a message, given its fields.
    private func append(fields: ByteBuffer) {
        let count = fields.readableBytes
        let size = PushFrames.size(count)
        guard self.form == .grpc || self.form == .grpcGzip && size < Gzip.least else {
            var message = ByteBufferAllocator().buffer(capacity: size)
            PushFrames.writeHead(count, into: &message)
            message.writeImmutableBuffer(fields)
            if self.form == .grpcGzip { self.appendGzip(message) } else { self.context?.write(NIOAny(message), promise: nil) }
            return
        }
        self.appendPlain(size) {
            PushFrames.writeHead(count, into: &$0)
            $0.writeImmutableBuffer(fields)
        }
    }

    func send(_ delivery: borrowing Delivery) {
        guard self.phase != .closing else { return }
        let delivery = copy delivery
        self.loop.withScratch { buffer in
            MessageFields.write(delivery.message, isTopic: false, into: &buffer)
            PushFrames.writeOwn(delivery, into: &buffer)
            self.append(fields: buffer)
        }
    }

    func send(_ delivery: borrowing TopicDelivery) {
        guard self.phase != .closing else { return }
        let hasOwnPlace = delivery.cursor != nil && !delivery.isCursorShared
        guard !delivery.isRetained, !hasOwnPlace else { return self.sendOwn(delivery) }
        let shared = PushFrames.shared(delivery, withCursor: delivery.cursor != nil)
        switch self.form {
        case .grpc: self.output.append(shared.frame)
        case .grpcGzip: self.output.append(shared.compressed(self.loop.gzip))
        case .webSocket: self.context?.write(NIOAny(shared.bare), promise: nil)
        }
    }

    /// A receiver's own fields, then those that all share.
    private func sendOwn(_ delivery: borrowing TopicDelivery) {
        let shared = PushFrames.shared(delivery, withCursor: false)
        let fields = shared.fields
        let (cursor, isRetained) = (delivery.cursor, delivery.isRetained)
        self.loop.withScratch { buffer in
            if let cursor { buffer.writeField(2, cursor) }
            if isRetained { buffer.writeField(9, 1) }
            guard self.form == .grpc, fields.readableBytes > StreamOutput.copiedMost else {
                buffer.writeImmutableBuffer(fields)
                return self.append(fields: buffer)
            }
            let own = buffer
            let count = own.readableBytes + fields.readableBytes
            self.output.append(own.readableBytes + 16) {
                PushFrames.writePrefix(PushFrames.size(count), isCompressed: false, into: &$0)
                PushFrames.writeHead(count, into: &$0)
                $0.writeImmutableBuffer(own)
            }
            self.output.append(shared.frame.tail(fields.readableBytes))
        }
    }

    /// Writes what is queued.
    @discardableResult
    func flush() -> Bool {
        self.call?.connection.sent()
        if self.form == .webSocket { self.context?.flush() }
        return self.flushOutput()
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
