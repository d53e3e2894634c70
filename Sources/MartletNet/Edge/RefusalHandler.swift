import NIOCore

/// A connection that there is no room for: gets a short answer if it can be had cheaply, and ends.
final class RefusalHandler: ChannelInboundHandler, Swept {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let state: LoopState
    private let gate: ConnectionGate
    /// Asked only if they are said. nil: closed without a word, as under TLS, where words cost a handshake.
    private let words: () -> ByteBuffer?
    private var context: ChannelHandlerContext?
    private var until = NIODeadline.now()
    private var isLingering = false

    /// Time that the client gets to read the answer.
    private static let lingerLimit = TimeAmount.seconds(1)

    init(state: LoopState, gate: ConnectionGate, words: @escaping () -> ByteBuffer?) {
        self.state = state
        self.gate = gate
        self.words = words
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.refuse(context) }
    }

    func channelActive(context: ChannelHandlerContext) { self.refuse(context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.state.unwatch(self)
        if self.isLingering { self.gate.lingered() }
        self.isLingering = false
    }

    private func refuse(_ context: ChannelHandlerContext) {
        guard !self.isLingering else { return }
        guard self.gate.linger() else { return context.close(promise: nil) }
        guard let words = self.words() else {
            self.gate.lingered()
            return context.close(promise: nil)
        }
        self.isLingering = true
        self.until = .now() + Self.lingerLimit
        self.state.watch(self)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in context.close(mode: .output, promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(words), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What it sends is dropped, so that closing does not take the answer away from it (RFC 9112 §9.6).
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func sweep(now: NIODeadline) {
        if now > self.until { self.context?.close(promise: nil) }
    }
}
