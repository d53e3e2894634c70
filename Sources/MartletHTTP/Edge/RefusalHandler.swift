import MartletWire
import NIOCore

/// A connection that there is no room for: gets a short answer if it can be had cheaply, and ends.
final class RefusalHandler: ChannelInboundHandler, Swept {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let state: LoopState
    private let services: HTTPServices
    /// nil: closed without a word, as under TLS, where words cost a handshake.
    private let error: WireError?
    private var context: ChannelHandlerContext?
    private var until = NIODeadline.now()
    private var isLingering = false

    /// Time that the client gets to read the answer.
    private static let lingerLimit = TimeAmount.seconds(1)

    init(state: LoopState, services: HTTPServices, error: WireError?) {
        self.state = state
        self.services = services
        self.error = error
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.refuse(context) }
    }

    func channelActive(context: ChannelHandlerContext) { self.refuse(context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.state.unwatch(self)
        if self.isLingering { self.services.edge.gate.lingered() }
        self.isLingering = false
    }

    private func refuse(_ context: ChannelHandlerContext) {
        guard let error = self.error, !self.isLingering, self.services.edge.gate.linger() else {
            if !self.isLingering { context.close(promise: nil) }
            return
        }
        self.isLingering = true
        self.until = .now() + Self.lingerLimit
        self.state.watch(self)
        var buffer = context.channel.allocator.buffer(capacity: 320)
        RawResponse.write(error, to: &buffer)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in context.close(mode: .output, promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What it sends is dropped, so that closing does not take the answer away from it (RFC 9112 §9.6).
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func sweep(now: NIODeadline) {
        if now > self.until { self.context?.close(promise: nil) }
    }
}
