import MartletCore
import MartletNet
import NIOCore
import NIOHTTP2

/// A connection that speaks HTTP/2: ends it when it is idle, broken, or the server goes down.
final class HTTP2Connection: HTTP2Carrier {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let services: HTTPServices
    let loop: HTTPLoop
    let peer: Peer
    var context: ChannelHandlerContext?
    private(set) var streams = 0
    private var isUsed = false
    private var isQuiescing = false
    private var lastActivity = NIODeadline.now()

    init(services: HTTPServices, loop: HTTPLoop, peer: Peer) {
        self.services = services
        self.loop = loop
        self.peer = peer
    }

    var state: LoopState { self.loop.state }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Frames of the connection itself are answered below.
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
}
