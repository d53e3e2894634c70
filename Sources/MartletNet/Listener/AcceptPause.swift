import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Stops accepting for a moment when the process has no descriptor or memory left for a connection.
///
/// The listener stays readable then, so without this its loop would try again and again. Connections wait in the backlog.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let gate: ConnectionGate
    private var isPaused = false

    private static let pause = TimeAmount.milliseconds(500)

    init(gate: ConnectionGate) { self.gate = gate }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else {
            context.fireErrorCaught(error)
            return
        }
        self.gate.refused(nil, why: "cannot be accepted: \(String(cString: strerror(error.errnoCode)))")
        guard !self.isPaused, let options = context.channel.syncOptions else { return }
        self.isPaused = true
        try? options.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPaused = false
            try? options.setOption(.autoRead, value: true)
        }
    }
}
