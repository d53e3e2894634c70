import NIOCore

/// Takes the PROXY protocol header off the beginning of a connection, then goes.
///
/// How long it may take is for the adapter to say, whose handlers are on the connection already.
final class ProxyHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let peer: Peer
    private let acceptor: Acceptor
    private var collected = ByteBuffer()
    private var isDone = false

    init(peer: Peer, acceptor: Acceptor) {
        self.peer = peer
        self.acceptor = acceptor
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDone else {
            context.fireChannelRead(data)
            return
        }
        var bytes = self.unwrapInboundIn(data)
        self.collected.writeBuffer(&bytes)
        switch ProxyHeader.parse(self.collected.readableBytesView) {
        case .more: return
        case .invalid:
            self.acceptor.edge.gate.refused(self.peer.address, why: "no PROXY protocol header")
            context.close(promise: nil)
        case .header(let length, let address):
            self.isDone = true
            guard self.peer.proxied(address) else {
                self.refuse(context)
                return
            }
            self.collected.moveReaderIndex(forwardBy: length)
            let rest = self.collected
            self.collected = ByteBuffer()
            if rest.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(rest)) }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        }
    }

    private func refuse(_ context: ChannelHandlerContext) {
        self.acceptor.edge.gate.refused(self.peer.address, why: "the address has as many as it may")
        self.acceptor.adapter.refused(.addressFull)
        guard let words = self.acceptor.words(.addressFull) else {
            context.close(promise: nil)
            return
        }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(words), promise: promise)
    }
}
