import MartletNet
import NIOCore
import NIOHTTP1
import NIOTLS

/// Reads the plain requests of a connection by itself and answers them in one piece: the only handler of a connection until
/// something comes that only NIO's HTTP handlers can read, or it becomes a stream.
///
/// Those handlers take half of what a request costs, and more than half of what opening a stream does (docs/performance.md).
final class QuickLane: ChannelDuplexHandler, RemovableChannelHandler, RequestSource {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Stage {
        case head
        /// Bytes of the body that are to come.
        case body(Int)
        case dropping
        /// Others have the connection.
        case gone
    }

    private let front: FrontHandler
    private let pipeline: ConnectionPipeline
    private var stage = Stage.head
    private var context: ChannelHandlerContext?
    /// What was read and not used.
    private var input = ByteBuffer()
    /// How many bytes of it were looked at for the end of a head.
    private var searched = 0
    private var isProcessing = false
    /// NIO asked for more while nothing more could be used.
    private var isReadWanted = false
    private(set) var beganAt: NIODeadline?
    /// Nothing to say here: a body of a stated length has no framing.
    var onWaste: (() -> Void)?
    /// Where answers go, unless TLS is in between.
    private var socket: DirectSocket?

    init(front: FrontHandler, pipeline: ConnectionPipeline) {
        self.front = front
        self.pipeline = pipeline
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.front.attach(context, self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.socket = nil
        if case .gone = self.stage { return }
        self.stage = .gone
        self.front.detach()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.socket = nil
        self.front.gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .dropping = self.stage { return }
        var bytes = self.unwrapInboundIn(data)
        if self.beganAt == nil { self.beganAt = .now() }
        if self.input.readableBytes == 0 { self.input = bytes } else { self.input.writeBuffer(&bytes) }
        self.process()
    }

    /// Reads no further than what is in hand can be used.
    func read(context: ChannelHandlerContext) {
        if self.mayRead { context.read() } else { self.isReadWanted = true }
    }

    private var mayRead: Bool {
        switch self.stage {
        case .body: self.front.asker.isChecked
        // With nothing read ahead: only this way a client that goes is noticed while its answer is made.
        case .head: self.front.isIdle || self.input.readableBytes == 0
        case .dropping, .gone: true
        }
    }

    private func process() {
        guard !self.isProcessing else { return }
        self.isProcessing = true
        while self.step() {}
        self.isProcessing = false
        if self.input.readableBytes == 0 { self.input = ByteBuffer() }
        if self.isReadWanted, self.mayRead, let context = self.context {
            self.isReadWanted = false
            context.read()
        }
    }

    /// - Returns: whether there may be more to do.
    private func step() -> Bool {
        guard self.context != nil else { return false }
        switch self.stage {
        case .dropping, .gone: return false
        case .body(let left):
            guard self.input.readableBytes > 0, self.front.asker.isChecked,
                let part = self.input.readSlice(length: min(left, self.input.readableBytes))
            else { return false }
            self.stage = .body(left - part.readableBytes)
            self.front.append(part)
            guard case .body(0) = self.stage else { return true }
            self.stage = .head
            self.front.finish()
            return true
        case .head:
            guard self.front.isIdle, self.input.readableBytes > 0 else { return false }
            return self.readHead()
        }
    }

    private func readHead() -> Bool {
        let found: QuickHead = self.input.withUnsafeReadableBytes { bytes in
            guard let end = QuickHead.end(in: bytes, searched: self.searched) else {
                return bytes.count > QuickHead.most ? .unusual : .incomplete
            }
            return end > self.pipeline.quickHeadBytes
                ? .unusual
                : QuickHead.parse(
                    UnsafeRawBufferPointer(rebasing: bytes[..<end]), fieldsMost: self.pipeline.quickFields)
        }
        switch found {
        case .incomplete:
            self.searched = self.input.readableBytes
            return false
        case .unusual:
            if let http2 = self.pipeline.http2, !self.pipeline.isTLS, !self.front.isUsed, HTTP2Setup.isPreface(self.input) {
                self.leave(to: http2)
            } else {
                self.leave()
            }
            return false
        case .head(let head, let bytes, let bodyBytes):
            self.searched = 0
            self.input.moveReaderIndex(forwardBy: bytes)
            if bodyBytes > 0 { self.stage = .body(bodyBytes) }
            self.front.begin(head)
            if bodyBytes == 0, case .head = self.stage { self.front.finish() }
            return true
        }
    }

    /// Gives the connection to NIO's HTTP handlers, with what was read.
    private func leave() {
        guard let context = self.context else { return }
        self.stage = .gone
        do {
            let watch = try self.pipeline.addHTTP(self.front, to: context.channel, after: self)
            watch.beganAt = self.beganAt
            let input = self.input
            self.input = ByteBuffer()
            context.fireChannelRead(self.wrapInboundOut(input))
            context.fireChannelReadComplete()
        } catch {
            context.close(promise: nil)
        }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        if self.isReadWanted { self.front.context?.read() }
    }

    /// The handshake of TLS says what is spoken.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted("h2") = event as? TLSUserEvent, let http2 = self.pipeline.http2, !self.front.isUsed { self.leave(to: http2) }
        context.fireUserInboundEventTriggered(event)
    }

    /// Gives the connection to the handlers of HTTP/2, with what was read.
    private func leave(to http2: HTTP2Setup) {
        guard let context = self.context else { return }
        self.stage = .gone
        let input = self.input
        self.input = ByteBuffer()
        do {
            try http2.install(on: context.channel, after: self, loop: self.front.loop, peer: self.front.peer)
            self.front.detach(isHandedOver: true)
            if input.readableBytes > 0 {
                context.fireChannelRead(self.wrapInboundOut(input))
                context.fireChannelReadComplete()
            }
        } catch {
            self.front.detach()
            context.close(promise: nil)
        }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        if self.isReadWanted { context.channel.pipeline.read() }
    }

    // MARK: Front handler

    func bodyBegins() {}
    func bodyGrew(by count: Int) {}
    func requestEnds() { self.beganAt = self.input.readableBytes > 0 ? .now() : nil }

    func drop() {
        self.stage = .dropping
        self.input = ByteBuffer()
        guard self.isReadWanted else { return }
        self.isReadWanted = false
        self.context?.read()
    }

    func answer(_ bytes: ByteBuffer) {
        self.drop()
        self.send(bytes, then: .closeOutput)
    }

    // MARK: Answering

    /// What follows an answer.
    enum Ending {
        case next, close
        /// The client still sends: the answer would be lost with the connection (RFC 9112 §9.6).
        case closeOutput
    }

    /// Sends an answer, then goes on or ends. A failure ends the connection.
    ///
    /// - Parameter body: what follows the head and is too long to be copied.
    func send(_ head: ByteBuffer, _ body: ByteBuffer? = nil, then ending: Ending) {
        guard let context = self.context else { return }
        var (first, second) = (head, body)
        if let socket = self.directSocket(context) {
            var count = socket.send(first)
            first = first.dropping(count)
            if first.readableBytes == 0, let body {
                count = socket.send(body)
                (first, second) = (body.dropping(count), nil)
            }
            if first.readableBytes == 0 { return self.end(ending) }
        }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            guard case .success = result else { return context.close(promise: nil) }
            self.end(ending)
        }
        if let second {
            context.write(self.wrapOutboundOut(first), promise: nil)
            context.writeAndFlush(self.wrapOutboundOut(second), promise: promise)
        } else {
            context.writeAndFlush(self.wrapOutboundOut(first), promise: promise)
        }
    }

    private func directSocket(_ context: ChannelHandlerContext) -> DirectSocket? {
        if self.socket == nil, !self.pipeline.isTLS { self.socket = DirectSocket(of: context.channel) }
        return self.socket
    }

    private func end(_ ending: Ending) {
        switch ending {
        case .next: self.front.sent()
        case .close: self.context?.close(promise: nil)
        case .closeOutput: self.context?.close(mode: .output, promise: nil)
        }
    }

    /// The answer to the last request is on its way: the next may come.
    func goOn() { self.process() }

    // MARK: Streams

    /// Gives the connection to a stream, with what it has sent already.
    func handOver(to handler: any Successor) {
        guard let context = self.context, context.channel.isActive else { return }
        let operations = context.pipeline.syncOperations
        do {
            try operations.addHandler(handler)
        } catch {
            context.close(promise: nil)
            return
        }
        self.stage = .gone
        let (input, isReadWanted) = (self.input, self.isReadWanted)
        handler.sendDirectly(to: self.directSocket(context))
        self.input = ByteBuffer()
        self.front.detach(isHandedOver: true)
        operations.removeHandler(self, promise: nil)
        guard let next = handler.context else { return }
        if input.readableBytes > 0 { handler.channelRead(context: next, data: self.wrapInboundOut(input)) }
        handler.begin()
        if isReadWanted { handler.context?.read() }
    }
}
