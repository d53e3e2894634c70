import MartletWire
import NIOCore

/// Takes the PROXY protocol header off the beginning of a connection, then goes.
///
/// How long it may take is the front handler's limit for a head.
final class ProxyHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let peer: Peer
    private let services: HTTPServices
    private var collected = ByteBuffer()
    private var isDone = false

    init(peer: Peer, services: HTTPServices) {
        self.peer = peer
        self.services = services
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
            self.services.edge.gate.refused(self.peer.address, why: "no PROXY protocol header")
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
        self.services.edge.gate.refused(self.peer.address, why: "the address has as many as it may")
        self.services.metrics.refused(.tooManyConnections)
        guard self.services.edge.tls == nil else {
            context.close(promise: nil)
            return
        }
        var buffer = ByteBuffer()
        RawResponse.write(HTTPListener.tooManyOfAddress, to: &buffer)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: promise)
    }
}
