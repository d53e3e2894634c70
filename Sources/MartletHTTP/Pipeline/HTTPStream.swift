import MartletNet
import NIOCore

/// A handler that takes a connection over for good, after its request.
protocol Successor: ChannelInboundHandler, RemovableChannelHandler {
    var context: ChannelHandlerContext? { get }
    /// Where it may write past NIO; nil: nowhere.
    func sendDirectly(to socket: DirectSocket?)
    /// The HTTP handlers are gone: answer.
    func begin()
}

/// A stream that begins with a request.
protocol HTTPStream: Successor, StreamConnection {}

extension HTTPStream {
    func sendDirectly(to socket: DirectSocket?) { self.output.sendDirectly(to: socket) }
}
