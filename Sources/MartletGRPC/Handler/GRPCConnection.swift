import MartletCore
import MartletNet
import NIOCore
import NIOHTTP2

/// A connection that carries calls: keeps it alive, ends it when it is idle, broken or abused, or the server goes down.
final class GRPCConnection: ChannelInboundHandler, Connection, Swept {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let services: GRPCServices
    let loop: GRPCLoop
    let state: LoopState
    let peer: Peer
    private var context: ChannelHandlerContext?
    private var streams = 0
    private var isUsed = false
    /// GOAWAY was sent.
    private var isLeaving = false
    private var lastActivity = NIODeadline.now()
    /// When a ping was sent that is not answered.
    private var pingedAt: NIODeadline?
    /// What the client did that costs more than it brings, in the interval that began then.
    private var strikes = 0
    private var strikesSince = NIODeadline.now()
    /// Bytes of calls' messages that are not complete.
    private var heldBytes = 0
    private var unsignedBytes = 0

    /// Silence after which a ping asks whether the client is there, and time that it gets to answer.
    private static let pingAfter = TimeAmount.seconds(30)
    private static let pingTimeout = TimeAmount.seconds(20)
    /// Pings without a message in between, and calls reset, that a client may send in 30 seconds, beside all its calls at once.
    private static let strikesMost = 500
    private static let strikesInterval = TimeAmount.seconds(30)
    /// Bytes of messages that may be incomplete on all calls whose client nobody has checked.
    private static let unsignedMost = 1_048_576
    /// The same of the others, beside a batch.
    private static let heldMost = 4_194_304
    private static let pingData = HTTP2PingData(withInteger: 0x6d61_7274_6c65_74)

    init(services: GRPCServices, loop: GRPCLoop, state: LoopState, peer: Peer) {
        self.services = services
        self.loop = loop
        self.state = state
        self.peer = peer
    }

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

    /// Frames of the connection itself; NIO answers pings.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.heard()
        guard case .ping(_, let ack) = self.unwrapInboundIn(data).payload, !ack else { return }
        self.strike()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // One call was not valid and its stream was reset: the others go on. Anything else ends the connection.
        if !HTTP2Profile.isOfOneStream(error) { context.close(promise: nil) }
    }

    // MARK: Calls

    func streamOpened() {
        self.streams += 1
        self.isUsed = true
        self.services.metrics.streams(1)
    }

    func streamClosed(isReset: Bool) {
        self.streams -= 1
        self.lastActivity = .now()
        self.services.metrics.streams(-1)
        if isReset { self.strike() }
        if self.isLeaving, self.streams == 0 { self.context?.close(promise: nil) }
    }

    /// Bytes came from the client.
    func heard() {
        self.lastActivity = .now()
        self.pingedAt = nil
    }

    /// A message goes out: the client may measure with it.
    func sent() { self.strikes = 0 }

    /// Counts what is harmless now and then.
    private func strike() {
        let now = NIODeadline.now()
        if now - self.strikesSince > Self.strikesInterval {
            self.strikesSince = now
            self.strikes = 0
        }
        self.strikes += 1
        guard self.strikes > Self.strikesMost + self.services.options.streamsPerConnection, let context = self.context else { return }
        self.leave(.enhanceYourCalm, "too_many_pings")
        context.close(promise: nil)
    }

    /// The bytes that a call holds have changed.
    ///
    /// - Returns: whether there is room for them.
    func holds(_ change: Int, isSigned: Bool) -> Bool {
        if isSigned {
            self.heldBytes += change
            return self.heldBytes <= Self.heldMost + self.services.batchBytes
        }
        self.unsignedBytes += change
        return self.unsignedBytes <= Self.unsignedMost
    }

    // MARK: Connection

    func sweep(now: NIODeadline) {
        let limits = self.services.limits
        let silence = now - self.lastActivity
        if let pingedAt = self.pingedAt {
            if now - pingedAt > Self.pingTimeout { self.context?.close(promise: nil) }
        } else if silence > Self.pingAfter, self.streams > 0 {
            self.pingedAt = now
            self.send(.ping(Self.pingData, ack: false))
        }
        if self.streams == 0, silence > .seconds(Int64(self.isUsed ? limits.idleSeconds : limits.headSeconds)) { self.quiesce() }
    }

    /// Says that no more calls are taken; those that are open go on. A call that is on its way already is taken, too.
    func quiesce() {
        guard let context = self.context, !self.isLeaving else { return }
        self.leave(.noError, "")
        guard self.streams == 0 else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) {
            if bound.value.streams == 0 { bound.value.context?.close(promise: nil) }
        }
    }

    private func leave(_ code: HTTP2ErrorCode, _ why: String) {
        self.isLeaving = true
        self.send(.goAway(lastStreamID: .maxID, errorCode: code, opaqueData: why.isEmpty ? nil : ByteBuffer(string: why)))
    }

    private func send(_ payload: HTTP2Frame.FramePayload) {
        self.context?.writeAndFlush(self.wrapOutboundOut(HTTP2Frame(streamID: .rootStream, payload: payload)), promise: nil)
    }

    func abort() { self.context?.close(promise: nil) }
}
