package import NIOCore

/// The handler of a connection whose streams are channels of their own.
///
/// Its life cycle is the same whatever the streams carry; when its time is over is each one's own.
package protocol HTTP2Carrier: ChannelInboundHandler, Connection, Swept {
    var state: LoopState { get }
    /// Who is at the other end; the connection keeps its place in the counts.
    var peer: Peer { get }
    /// From the handler's start to its end.
    var context: ChannelHandlerContext? { get set }
    /// How many are open.
    var streams: Int { get }
}

extension HTTP2Carrier {
    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.opened(self)
        self.state.watch(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        guard self.context != nil else { return }
        self.context = nil
        self.state.closed(self)
        self.state.unwatch(self)
        self.peer.leave()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // One stream was not valid and was reset: the others go on. Anything else ends the connection.
        if !HTTP2Profile.isOfOneStream(error) { context.close(promise: nil) }
    }

    package func abort() { self.context?.close(promise: nil) }

    /// Ends it without streams: the last answers are still on their way to the socket when their streams are closed.
    package func closeSoon(_ time: TimeAmount = .milliseconds(250)) {
        guard let context = self.context else { return }
        context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            if self.streams == 0 { self.context?.close(promise: nil) }
        }
    }
}
