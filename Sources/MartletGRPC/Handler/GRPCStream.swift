import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHPACK
import NIOHTTP2

/// One call: frames of HTTP/2 to its messages, and bytes of answers to frames (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
final class GRPCStream: ChannelDuplexHandler, Connection, Swept {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = HTTP2Frame.FramePayload

    private enum Answer {
        case head, body, ended
    }

    let connection: GRPCConnection
    /// Its place in the counts, until a session takes it; nil if there was none.
    private var peer: Peer?
    private(set) var context: ChannelHandlerContext?
    private(set) var head: GRPCRequestHead?
    private var call: (any GRPCCall)?
    private var decoder = GRPCFrameDecoder(encoding: .identity)
    /// Bytes that ``GRPCConnection/holds(_:isSigned:)`` knows of.
    private var held = 0
    private var heldIsSigned = false
    /// Whether it counts among the calls of nobody known.
    private var isUnsigned = false
    /// Whether it is a session, from its path on.
    private var isSession = false
    /// By when a call with one message, or of a tool, must have said all.
    private var requestDeadline: NIODeadline?
    private var answer = Answer.head
    private var isRequestEnded = false
    private var isEndTold = false
    private var isDecoding = false
    /// Nothing more of what the client sends is read, so that its window closes.
    private var isHeldBack = false
    private var isReset = true
    /// When the call's time is over.
    private(set) var deadline: NIODeadline?
    /// Since when the client has taken nothing of what waits for it.
    private var stalledAt: NIODeadline?
    private var isWatched = false
    private var isListed = false

    /// Time that a client gets to take the end of its answer.
    private static let lingerLimit = TimeAmount.seconds(5)
    private static let timeIsOver = GRPCStatus(.deadlineExceeded, "The call's time is over.")

    init(connection: GRPCConnection, peer: Peer?) {
        self.connection = connection
        self.peer = peer
    }

    var services: GRPCServices { self.connection.services }
    var state: LoopState { self.connection.state }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.connection.streamOpened()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.gone() }

    func channelInactive(context: ChannelHandlerContext) {
        self.gone()
        context.fireChannelInactive()
    }

    private func gone() {
        guard self.context != nil else { return }
        self.context = nil
        if case .ended = self.answer {} else { self.services.metrics.ended(.cancelled) }
        self.answer = .ended
        self.release()
        self.connection.streamClosed(isReset: self.isReset)
    }

    /// Gives up what belongs to the call.
    private func release() {
        if self.held != 0 { _ = self.connection.holds(-self.held, isSigned: self.heldIsSigned) }
        self.held = 0
        self.decoder = GRPCFrameDecoder(encoding: .identity)
        self.countUnsigned(false)
        self.holdBack(false)
        if self.isWatched { self.state.unwatch(self) }
        self.isWatched = false
        if self.isListed { self.state.closed(self) }
        self.isListed = false
        self.peer?.leave()
        self.peer = nil
        let call = self.call
        self.call = nil
        call?.over()
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.connection.heard()
        switch self.unwrapInboundIn(data) {
        case .headers(let frame):
            if frame.endStream { self.isRequestEnded = true }
            if self.head == nil, self.call == nil { self.begin(frame.headers) }
            self.decode()
        case .data(let frame):
            if frame.endStream { self.isRequestEnded = true }
            if case .ended = self.answer { return }
            if case .byteBuffer(var bytes) = frame.data, bytes.readableBytes > 0 { self.decoder.feed(&bytes) }
            self.decode()
        default: break
        }
    }

    private func begin(_ fields: HPACKHeaders) {
        do throws(GRPCRequestHead.Refusal) {
            self.isSession = fields.first(name: ":path") == GRPCMethods.session
            guard fields.count <= self.services.limits.headerCount else {
                throw .status(GRPCStatus(WireError(.headerTooLarge, "A call's head may have \(self.services.limits.headerCount) fields.")))
            }
            let head = try GRPCRequestHead(fields)
            self.head = head
            self.decoder = GRPCFrameDecoder(encoding: head.encoding)
            guard self.peer != nil else {
                throw .status(GRPCStatus(WireError(.tooManyConnections, "As many calls are open as may be: try again in a moment.")))
            }
            if let timeout = head.timeout {
                // The protocol wants more than zero; libraries send it for a deadline that is over. Nothing is done for who waits no more.
                guard timeout > .zero else { throw .status(Self.timeIsOver) }
                self.deadline = .now() + timeout
                self.watch()
            }
            let call = try GRPCMethods.call(head, self)
            self.call = call
            guard call.isSigned || self.connection.unsignedBegan() else {
                throw .status(GRPCStatus(.resourceExhausted, "This connection has as many calls of nobody known as it may: try again in a moment."))
            }
            self.isUnsigned = !call.isSigned
            // A session has a time of its own for its hello.
            if call as? PushConnection == nil {
                self.requestDeadline = .now() + .seconds(Int64(self.services.limits.bodySeconds))
                self.watch()
            }
            // Nobody asks for them again.
            self.head?.authorization = nil
            self.head?.apiKey = nil
        } catch {
            switch error {
            case .status(let status): self.finish(status)
            case .http(let status): self.refuse(status)
            }
        }
    }

    /// Hands over what has come, as far as it is taken.
    private func decode() {
        guard !self.isDecoding else { return }
        self.isDecoding = true
        self.takeMessages()
        self.isDecoding = false
        // Last: it may bring more.
        if let call = self.call { self.holdBack(call.isSigned && !call.takesMessages && self.decoder.heldBytes > 0) }
    }

    private func takeMessages() {
        var messages = 0
        do throws(GRPCStatus) {
            while let call = self.call, call.takesMessages,
                let message = try self.decoder.next(most: call.messageBytes, gunzip: self.connection.loop.gunzip)
            {
                messages += 1
                call.received(message)
            }
        } catch {
            self.finish(error)
        }
        self.services.metrics.received(messages)
        guard let call = self.call else { return }
        self.decoder.letGo()
        self.count(call)
        guard self.isRequestEnded, !self.isEndTold, call.takesMessages else { return }
        guard !self.decoder.isWithinMessage else { return self.finish(GRPCStatus(.internal, "The call ended within a message.")) }
        self.isEndTold = true
        call.requestEnded()
    }

    /// Lets the client's window close, or gives it back.
    private func holdBack(_ isHeldBack: Bool) {
        guard isHeldBack != self.isHeldBack else { return }
        if isHeldBack {
            guard let context = self.context, self.connection.heldBackBegan() else { return }
            self.isHeldBack = true
            try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        } else {
            self.isHeldBack = false
            self.connection.heldBackEnded()
            guard let context = self.context else { return }
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
            context.read()
        }
    }

    private func countUnsigned(_ isUnsigned: Bool) {
        guard self.isUnsigned, !isUnsigned else { return }
        self.isUnsigned = false
        self.connection.unsignedEnded()
    }

    private func count(_ call: any GRPCCall) {
        self.countUnsigned(!call.isSigned)
        if call.isSigned != self.heldIsSigned {
            if self.held != 0 { _ = self.connection.holds(-self.held, isSigned: self.heldIsSigned) }
            self.held = 0
            self.heldIsSigned = call.isSigned
        }
        let change = self.decoder.heldBytes + call.keptBytes - self.held
        guard change != 0 else { return }
        self.held += change
        guard !self.connection.holds(change, isSigned: self.heldIsSigned), change > 0 else { return }
        self.finish(GRPCStatus(.resourceExhausted, "The calls of this connection have too many messages that are not complete."))
    }

    /// The call takes messages again.
    func readOn() {
        guard !self.isDecoding, self.context != nil else { return }
        self.decode()
    }

    // MARK: Answering

    /// Takes the place in the counts, for who leaves it in its own time.
    func takePeer() -> Peer? {
        defer { self.peer = nil }
        return self.peer
    }

    private var headFields: HPACKHeaders {
        var fields = HPACKHeaders()
        fields.add(name: ":status", value: "200")
        fields.add(name: "content-type", value: "application/grpc")
        return fields
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = self.unwrapOutboundIn(data)
        if case .ended = self.answer {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        if case .head = self.answer { self.sendHead(context) }
        guard bytes.readableBytes > 0 || promise != nil else { return }
        context.write(self.wrapOutboundOut(.data(.init(data: .byteBuffer(bytes), endStream: false))), promise: promise)
    }

    private func sendHead(_ context: ChannelHandlerContext) {
        self.answer = .body
        var fields = self.headFields
        if self.head?.wantsGzip == true { fields.add(name: "grpc-encoding", value: "gzip") }
        fields.add(name: "grpc-accept-encoding", value: "identity,gzip")
        context.write(self.wrapOutboundOut(.headers(.init(headers: fields))), promise: nil)
    }

    /// Sends one message of an answer; not for sessions, which write their own bytes.
    func send(_ message: [UInt8]) {
        guard let context = self.context else { return }
        if case .ended = self.answer { return }
        if case .head = self.answer { self.sendHead(context) }
        let plain = ByteBuffer(bytes: message)
        let gzipped = self.head?.wantsGzip == true ? self.connection.loop.gzip.deflate(plain) : nil
        let body = gzipped ?? plain
        var bytes = ByteBufferAllocator().buffer(capacity: body.readableBytes + GRPCFrameDecoder.prefixBytes)
        PushFrames.writePrefix(body.readableBytes, isCompressed: gzipped != nil, into: &bytes)
        bytes.writeImmutableBuffer(body)
        context.writeAndFlush(self.wrapOutboundOut(.data(.init(data: .byteBuffer(bytes), endStream: false))), promise: nil)
        self.connection.sent()
    }

    /// Ends the call, after what was written.
    func finish(_ status: GRPCStatus) {
        guard let context = self.context else { return }
        var fields: HPACKHeaders
        switch self.answer {
        case .ended: return
        case .head:
            fields = self.headFields
            // A client that was refused for its encoding learns which there are.
            if status.code == .unimplemented { fields.add(name: "grpc-accept-encoding", value: "identity,gzip") }
        case .body: fields = HPACKHeaders()
        }
        self.services.metrics.ended(status.code)
        (self.isSession ? status.ofSession : status).write(to: &fields)
        self.end(fields, context)
    }

    /// It is no call of gRPC (the protocol, "HTTP status to gRPC status"): browsers and checks read the status of HTTP.
    private func refuse(_ status: Int) {
        guard let context = self.context else { return }
        self.services.metrics.ended(.unknown)
        var fields = HPACKHeaders()
        fields.add(name: ":status", value: String(status))
        if status == 405 { fields.add(name: "allow", value: "POST") }
        self.end(fields, context)
    }

    private func end(_ fields: HPACKHeaders, _ context: ChannelHandlerContext) {
        self.answer = .ended
        self.isReset = false
        self.release()
        let promise = context.eventLoop.makePromise(of: Void.self)
        let timeout = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerLimit) { context.close(promise: nil) }
        promise.futureResult.assumeIsolated().whenComplete { result in
            timeout.cancel()
            guard case .success = result, self.context != nil, !self.isRequestEnded else { return }
            // The client need not send the rest (RFC 9113 §8.1). Otherwise the stream is closed by itself once both sides are done.
            context.writeAndFlush(self.wrapOutboundOut(.rstStream(.noError)), promise: nil)
        }
        context.writeAndFlush(self.wrapOutboundOut(.headers(.init(headers: fields, endStream: true))), promise: promise)
    }

    // MARK: Time

    private func watch() {
        guard !self.isWatched else { return }
        self.isWatched = true
        self.state.watch(self)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.stalledAt = nil
            context.fireChannelWritabilityChanged()
            // A call may have waited for it.
            return self.readOn()
        }
        if self.stalledAt == nil {
            self.stalledAt = .now()
            self.watch()
        }
        context.fireChannelWritabilityChanged()
    }

    func sweep(now: NIODeadline) {
        if let requestDeadline, !self.isRequestEnded, now >= requestDeadline {
            let seconds = self.services.limits.bodySeconds
            return self.finish(GRPCStatus(WireError(.requestTimeout, "The request did not end within \(seconds) seconds.", limit: seconds)))
        }
        if let deadline, now >= deadline { return self.finish(Self.timeIsOver) }
        // On HTTP/1.1 the socket's own timeout does this.
        if let stalledAt, now - stalledAt > .milliseconds(self.services.limits.heartbeatMs * 2) { self.context?.close(promise: nil) }
    }

    // MARK: Going down

    /// From now on the call is told when the server goes down.
    func list() {
        guard !self.isListed, self.context != nil else { return }
        self.isListed = true
        self.state.opened(self)
    }

    func quiesce() { self.call?.quiesce() }

    func abort() { self.context?.close(promise: nil) }
}
