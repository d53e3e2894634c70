import MartletCore
import MartletNet
import NIOCore
import NIOHTTP2

/// A connection that speaks HTTP/2: ends it when it is idle, broken, or the server goes down.
final class HTTP2Connection: ChannelInboundHandler, Connection, Swept {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let services: HTTPServices
    let loop: HTTPLoop
    let peer: Peer
    private var context: ChannelHandlerContext?
    private var streams = 0
    private var isUsed = false
    private var isQuiescing = false
    private var lastActivity = NIODeadline.now()
    private static let lastAnswers = TimeAmount.milliseconds(250)

    init(services: HTTPServices, loop: HTTPLoop, peer: Peer) {
        self.services = services
        self.loop = loop
        self.peer = peer
    }

    var state: LoopState { self.loop.state }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.opened(self)
        self.state.watch(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        guard self.context != nil else { return }
        self.context = nil
        self.state.closed(self)
        self.state.unwatch(self)
        self.peer.leave()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Frames of the connection itself are answered below.
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // One request was not valid and its stream was reset: the others go on. Anything else ends the connection.
        if !HTTP2Profile.isOfOneStream(error) { context.close(promise: nil) }
    }

    // MARK: Streams

    func streamOpened() {
        self.streams += 1
        self.isUsed = true
        self.services.metrics.streams(1)
    }

    func streamClosed() {
        self.streams -= 1
        self.lastActivity = .now()
        self.services.metrics.streams(-1)
        if self.isQuiescing, self.streams == 0 { self.closeSoon() }
    }

    /// The last answers are still on their way to the socket when their streams are closed.
    private func closeSoon() {
        guard let context = self.context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.lastAnswers) {
            if bound.value.streams == 0 { bound.value.context?.close(promise: nil) }
        }
    }

    // MARK: Connection

    func sweep(now: NIODeadline) {
        let limits = self.services.limits
        guard self.streams == 0, now - self.lastActivity > .seconds(Int64(self.isUsed ? limits.idleSeconds : limits.headSeconds)) else { return }
        self.quiesce()
    }

    /// Says that no more streams are taken; those that are open get their answers.
    func quiesce() {
        guard let context = self.context, !self.isQuiescing else { return }
        self.isQuiescing = true
        let goAway = HTTP2Frame(streamID: .rootStream, payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
        context.writeAndFlush(self.wrapOutboundOut(goAway), promise: nil)
        if self.streams == 0 { context.close(promise: nil) }
    }

    func abort() { self.context?.close(promise: nil) }
}
