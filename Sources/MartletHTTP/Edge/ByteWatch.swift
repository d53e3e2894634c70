import NIOCore

/// Sees a connection's bytes before the HTTP decoder: knows when a head began, bounds the framing of a body, and can answer
/// where the decoder gave up. Goes when the connection becomes a stream.
final class ByteWatch: ChannelInboundHandler, RemovableChannelHandler, RequestSource {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?
    var beganAt: NIODeadline?
    /// Bytes that the body in hand may still come in; nil between bodies.
    private var allowance: Int?
    var onWaste: (() -> Void)?

    /// What comes counts no more.
    private var isDropping = false

    /// Bytes of framing that a body may have: chunk sizes, extensions, trailers.
    private static let framingBytes = 65_536
    /// Bytes on the wire for each byte of a body: a chunk of one byte takes six.
    private static let framingFactor = 6

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.onWaste = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDropping else { return }
        if self.beganAt == nil { self.beganAt = .now() }
        if let allowance = self.allowance {
            let left = allowance - self.unwrapInboundIn(data).readableBytes
            self.allowance = left < 0 ? nil : left
            if left < 0 { self.onWaste?() }
            if self.isDropping { return }
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        // The handlers above read nothing more once a request has failed; the client must get rid of what it sends.
        if self.isDropping { context.read() }
    }

    func drop() {
        guard !self.isDropping else { return }
        self.isDropping = true
        self.context?.read()
    }

    func bodyBegins() { self.allowance = Self.framingBytes }

    func bodyGrew(by count: Int) {
        if let allowance = self.allowance { self.allowance = allowance + count * Self.framingFactor }
    }

    func requestEnds() {
        self.beganAt = nil
        self.allowance = nil
    }

    /// Past the HTTP handlers.
    func answer(_ bytes: ByteBuffer) {
        guard let context = self.context else { return }
        self.drop()
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in context.close(mode: .output, promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: promise)
    }
}
