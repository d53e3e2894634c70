import MartletNet
import NIOCore

/// A protocol that sends everything back, and ends at `!`.
struct EchoService: ByteStreamService {
    let log = Log()

    final class Log: @unchecked Sendable {
        /// Credentials of the connections that came.
        var credentials: [String?] = []
        /// What was read, as one.
        var read: [UInt8] = []
        var isGone = false
        /// The last connection's handler, to write from.
        var handler: EchoHandler?
    }

    func install(_ connection: NewConnection) throws {
        guard !connection.isDirect else { throw RefusingService.Refusal() }
        self.log.credentials.append(connection.credential)
        let handler = EchoHandler(connection, self.log)
        self.log.handler = handler
        try connection.channel.pipeline.syncOperations.addHandler(handler)
    }
}

/// A protocol that takes no connection.
struct RefusingService: ByteStreamService {
    struct Refusal: Error {}

    func install(_ connection: NewConnection) throws { throw Refusal() }
}

final class EchoHandler: ChannelInboundHandler, Connection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connection: NewConnection
    private let log: EchoService.Log
    private(set) var context: ChannelHandlerContext?

    init(_ connection: NewConnection, _ log: EchoService.Log) {
        self.connection = connection
        self.log = log
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.connection.state.opened(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.ended() }

    func channelInactive(context: ChannelHandlerContext) { self.ended() }

    private func ended() {
        guard self.context != nil else { return }
        self.context = nil
        self.connection.state.closed(self)
        self.connection.peer.leave()
        self.log.isGone = true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        self.log.read += Array(bytes.readableBytesView)
        context.writeAndFlush(data, promise: nil)
        if bytes.readableBytesView.contains(UInt8(ascii: "!")) { context.close(promise: nil) }
    }

    func quiesce() { self.context?.close(promise: nil) }
    func abort() { self.context?.close(promise: nil) }
}
