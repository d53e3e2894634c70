import NIOCore
import NIOSSL

/// Waits for a client's first byte before it gives the connection to TLS: who says nothing costs no TLS state, and who
/// speaks in plain is told so.
final class TLSStart: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The first byte of a TLS handshake (RFC 8446 §5.1).
    private static let handshake: UInt8 = 0x16

    private let acceptor: Acceptor
    private let state: LoopState
    private var isDone = false

    init(acceptor: Acceptor, state: LoopState) {
        self.acceptor = acceptor
        self.state = state
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDone, let tls = self.acceptor.tls, let first = self.unwrapInboundIn(data).readableBytesView.first else {
            context.fireChannelRead(data)
            return
        }
        self.isDone = true
        let operations = context.channel.pipeline.syncOperations
        do {
            if first == Self.handshake {
                try operations.addHandler(NIOSSLServerHandler(context: tls.context()), position: .after(self))
                context.fireChannelRead(data)
                operations.removeHandler(self, promise: nil)
            } else {
                // Reads nothing above it any more.
                let refusal = RefusalHandler(state: self.state, gate: self.acceptor.edge.gate) { [adapter = self.acceptor.adapter] in
                    adapter.words(.plainText)
                }
                try operations.addHandler(refusal, position: .after(self))
            }
        } catch {
            context.close(promise: nil)
        }
    }
}
