package import MartletCore
package import NIOCore

/// A handler that takes a connection over for good.
///
/// The life cycle and the writing are the same for every streaming transport; what the bytes mean is each one's own.
package protocol StreamConnection: ChannelInboundHandler, RemovableChannelHandler, Connection {
    var state: LoopState { get }
    /// Who is at the other end; the stream keeps its place in the counts.
    var peer: Peer { get }
    /// From the handler's start to its end.
    var context: ChannelHandlerContext? { get set }
    var handle: (any SessionHandle)? { get set }
    var output: StreamOutput { get set }
    /// The socket has taken everything that was written when a flush could not.
    func socketTook()
}

extension StreamConnection {
    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.opened(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) { self.ended() }

    package func channelInactive(context: ChannelHandlerContext) {
        self.ended()
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func ended() {
        guard self.context != nil else { return }
        self.context = nil
        self.output.sendDirectly(to: nil)
        self.state.closed(self)
        self.peer.leave()
        let handle = self.handle
        self.handle = nil
        handle?.clientClosed()
    }

    package func abort() { self.context?.close(promise: nil) }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard self.output.isWaiting, self.output.isThroughNIO, context.channel.isWritable else { return }
        self.output.socketTook()
        self.socketTook()
    }

    /// Writes what is queued, mostly in one piece.
    ///
    /// - Returns: whether the socket has taken everything, or all but a few KiB. If not, ``socketTook()`` is called once it has.
    @discardableResult
    @inline(__always)
    package func flushOutput() -> Bool {
        if self.output.isDirect, self.output.send() { return true }
        return self.flushThroughNIO()
    }

    private func flushThroughNIO() -> Bool {
        guard let context = self.context else { return true }
        if let earlier = self.output.takeEarlier() {
            for piece in earlier { context.write(NIOAny(piece), promise: nil) }
        }
        let last = self.output.take()
        guard !self.output.isThroughNIO else {
            if let last { context.writeAndFlush(last, promise: nil) }
            if context.channel.isWritable { return true }
            self.output.startWaiting()
            return false
        }
        self.output.handedOver()
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess {
            guard self.output.tookHandedOver(), self.output.isWaiting else { return }
            self.output.socketTook()
            self.socketTook()
        }
        context.writeAndFlush(last ?? NIOAny(ByteBuffer()), promise: promise)
        // Mostly not; then whoever flushes is told now, and not from within.
        if self.output.isDirect { return true }
        self.output.startWaiting()
        return false
    }

    /// Writes what is queued, then ends the connection; a client that does not read keeps it for a moment.
    package func finishOutput() {
        guard let context = self.context else { return }
        let promise = context.eventLoop.makePromise(of: Void.self)
        let timeout = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(5)) { context.close(promise: nil) }
        promise.futureResult.assumeIsolated().whenComplete { _ in
            timeout.cancel()
            context.close(promise: nil)
        }
        if let earlier = self.output.takeEarlier() {
            for piece in earlier { context.write(NIOAny(piece), promise: nil) }
        }
        context.writeAndFlush(self.output.take() ?? NIOAny(ByteBuffer()), promise: promise)
    }
}
