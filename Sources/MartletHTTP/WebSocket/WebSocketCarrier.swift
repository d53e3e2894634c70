package import MartletNet
import MartletWire
package import NIOCore

/// A WebSocket whose binary messages carry another protocol's bytes, cut and joined anywhere (MQTT 5.0 §6).
///
/// That protocol's handlers come after this one and see bytes only. What they write goes out as one message for each buffer; when they
/// close the channel, the WebSocket closes. They own the connection; until they are there, this does.
package final class WebSocketCarrier: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum Stage {
        /// The handshake is not answered yet.
        case waiting
        case open
        /// A close frame was sent; nothing is sent after it.
        case closing
    }

    /// How long a peer gets to answer a close frame.
    private static let closeTimeout = TimeAmount.seconds(2)
    /// Bytes that a client may send before the handshake is answered.
    private static let earlyLimit = 65_536

    private let service: any ByteStreamService
    private let state: LoopState
    private let peer: Peer
    private let credential: String?
    /// The header fields of the `101` answer; let go once it is sent.
    private var answer: [WebSocketHandshake.Header]
    private var decoder: WebSocketDecoder
    package private(set) var context: ChannelHandlerContext?
    private var stage = Stage.waiting
    private var earlyBytes = 0
    /// Whether the service's handlers have the connection.
    private var isInstalled = false
    /// The last ping that came while the socket took nothing: only that one is answered (RFC 6455 §5.5.3).
    private var unanswered: ByteBuffer?

    /// - Parameters:
    ///   - answer: the header fields of the `101` answer.
    ///   - messageBytes: of one message that the client sends.
    ///   - peer: its place in the counts is the service's from ``begin()`` on.
    ///   - credential: a token that came with the request; not looked at.
    package init(
        _ service: any ByteStreamService, answer: [WebSocketHandshake.Header], messageBytes: Int, state: LoopState, peer: Peer,
        credential: String?
    ) {
        self.service = service
        self.answer = answer
        self.decoder = WebSocketDecoder(limits: .init(messageBytes: messageBytes))
        self.state = state
        self.peer = peer
        self.credential = credential
    }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.opened(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) { self.ended() }

    package func channelInactive(context: ChannelHandlerContext) {
        self.ended()
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func ended() {
        guard self.context != nil else { return }
        self.context = nil
        self.stage = .closing
        self.unanswered = nil
        guard !self.isInstalled else { return }
        self.state.closed(self)
        self.peer.leave()
    }

    /// Answers the handshake and gives the bytes to the service.
    package func begin() {
        guard let context = self.context, case .waiting = self.stage else { return }
        self.stage = .open
        var buffer = context.channel.allocator.buffer(capacity: 256)
        buffer.writeStaticString("HTTP/1.1 101 Switching Protocols\r\n")
        for (name, value) in self.answer { buffer.writeString("\(name): \(value)\r\n") }
        buffer.writeStaticString("\r\n")
        self.answer = []
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
        // The write may have failed and ended the connection.
        guard self.context != nil else { return }
        do {
            try self.service.install(
                NewConnection(channel: context.channel, peer: self.peer, state: self.state, isDirect: false, credential: self.credential))
        } catch {
            self.close(.internalError)
            return
        }
        self.isInstalled = true
        // Only now: with none at all, a server that stops would be done.
        self.state.closed(self)
        if self.earlyBytes > 0 {
            self.decode(context)
            context.fireChannelReadComplete()
        }
    }

    // MARK: Frames in

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = self.unwrapInboundIn(data)
        if case .waiting = self.stage {
            self.earlyBytes += buffer.readableBytes
            if self.earlyBytes > Self.earlyLimit { return context.close(promise: nil) }
        }
        self.decoder.feed(&buffer)
        if case .waiting = self.stage { return }
        self.decode(context)
    }

    private func decode(_ context: ChannelHandlerContext) {
        do throws(WebSocketError) {
            while self.context != nil, let event = try self.decoder.next() { self.received(event, context) }
        } catch {
            self.close(error.code, error.reason)
        }
    }

    private func received(_ event: WebSocketEvent, _ context: ChannelHandlerContext) {
        switch event {
        case .binary(let bytes):
            if self.isInstalled, case .open = self.stage, bytes.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(bytes)) }
        case .text: self.close(.unsupportedData, "this protocol takes binary messages")
        case .ping(let payload): self.pong(payload, context)
        case .pong: break
        case .close(let code, _): self.peerCloses(code, context)
        }
    }

    /// Who pings and does not read gets one pong once it reads.
    private func pong(_ payload: ByteBuffer, _ context: ChannelHandlerContext) {
        guard case .open = self.stage else { return }
        guard context.channel.isWritable else {
            self.unanswered = payload
            return
        }
        self.unanswered = nil
        var buffer = context.channel.allocator.buffer(capacity: payload.readableBytes + 2)
        WebSocketEncoder.frame(.pong, payload, into: &buffer)
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let payload = self.unanswered { self.pong(payload, context) }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Frames out

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .open = self.stage else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        let bytes = self.unwrapOutboundIn(data)
        let count = bytes.readableBytes
        // Nothing to say: somebody asks when what was written before is gone.
        guard count > 0 else { return context.write(data, promise: promise) }
        let isCopied = count <= StreamOutput.copiedMost
        var frame = context.channel.allocator.buffer(capacity: 10 + (isCopied ? count : 0))
        WebSocketEncoder.header(.binary, count: count, into: &frame)
        if isCopied {
            frame.writeImmutableBuffer(bytes)
            context.write(self.wrapOutboundOut(frame), promise: promise)
        } else {
            context.write(self.wrapOutboundOut(frame), promise: nil)
            context.write(data, promise: promise)
        }
    }

    // MARK: Closing

    /// The service ends the connection: the first time the peer gets to answer, the second time it ends at once.
    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode != .input, case .open = self.stage else { return context.close(mode: mode, promise: promise) }
        if let promise { context.channel.closeFuture.cascade(to: promise) }
        self.close(.normal)
    }

    /// The service says how it ends.
    package func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let end = event as? CarriedEnd else { return context.triggerUserOutboundEvent(event, promise: promise) }
        promise?.succeed()
        self.close(end.code, end.reason)
    }

    /// Sends a close frame, then waits for the peer's for a moment.
    private func close(_ code: CloseCode, _ reason: String? = nil) {
        guard let context = self.context, case .open = self.stage else { return }
        self.stage = .closing
        let timeout = context.eventLoop.assumeIsolated().scheduleTask(in: Self.closeTimeout) { [weak self] in
            self?.context?.close(promise: nil)
        }
        context.channel.closeFuture.assumeIsolated().whenComplete { _ in timeout.cancel() }
        self.sayClose(code.rawValue, reason ?? code.reason, context).assumeIsolated().whenFailure { _ in context.close(promise: nil) }
    }

    private func peerCloses(_ code: UInt16?, _ context: ChannelHandlerContext) {
        guard case .open = self.stage else { return context.close(promise: nil) }
        self.stage = .closing
        let timeout = context.eventLoop.assumeIsolated().scheduleTask(in: Self.closeTimeout) { [weak self] in
            self?.context?.close(promise: nil)
        }
        self.sayClose(code, "", context).assumeIsolated().whenComplete { _ in
            timeout.cancel()
            context.close(promise: nil)
        }
    }

    private func sayClose(_ code: UInt16?, _ reason: String, _ context: ChannelHandlerContext) -> EventLoopFuture<Void> {
        var buffer = context.channel.allocator.buffer(capacity: 128)
        WebSocketEncoder.close(code, reason: reason, into: &buffer)
        let promise = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: promise)
        return promise.futureResult
    }
}

extension WebSocketCarrier: Connection {
    package func quiesce() {
        // The service's handlers have the connection by then.
    }

    package func abort() { self.context?.close(promise: nil) }
}

extension WebSocketCarrier: Successor {
    /// What it writes must pass the frames.
    func sendDirectly(to socket: DirectSocket?) {}
}
