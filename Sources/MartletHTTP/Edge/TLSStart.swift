import MartletWire
import NIOCore
import NIOSSL

/// Waits for a client's first byte before it gives the connection to TLS: who says nothing costs no TLS state, and who
/// speaks plain HTTP is told so.
final class TLSStart: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The first byte of a TLS handshake (RFC 8446 §5.1).
    private static let handshake: UInt8 = 0x16
    private static let plain = WireError(.badRequest, "This port speaks TLS: use https:// or wss://.")

    private let certificate: TLSCertificate
    private let services: HTTPServices
    private let state: LoopState
    private var isDone = false

    init(certificate: TLSCertificate, state: LoopState, services: HTTPServices) {
        self.certificate = certificate
        self.services = services
        self.state = state
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isDone, let first = self.unwrapInboundIn(data).readableBytesView.first else {
            context.fireChannelRead(data)
            return
        }
        self.isDone = true
        let operations = context.channel.pipeline.syncOperations
        do {
            if first == Self.handshake {
                try operations.addHandler(NIOSSLServerHandler(context: self.certificate.context), position: .after(self))
                context.fireChannelRead(data)
                operations.removeHandler(self, promise: nil)
            } else {
                // Reads nothing above it any more.
                try operations.addHandler(RefusalHandler(state: self.state, services: self.services, error: Self.plain), position: .after(self))
            }
        } catch {
            context.close(promise: nil)
        }
    }
}
