import MartletCore
import MartletNet
import NIOCore
import NIOHTTP2

/// A connection that carries calls: keeps it alive, ends it when it is idle, broken or abused, or the server goes down.
final class GRPCConnection: HTTP2Carrier {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let services: GRPCServices
    let loop: GRPCLoop
    let state: LoopState
    let peer: Peer
    var context: ChannelHandlerContext?
    private(set) var streams = 0
    private var isUsed = false
    /// GOAWAY was sent.
    private var isLeaving = false
    private var lastActivity = NIODeadline.now()
    /// When a ping was sent that is not answered.
    private var pingedAt: NIODeadline?
    /// Pings (settings and priorities, too) without a message to the client in between, and calls that it reset, in the interval that began then.
    private var pings = 0
    private var resets = 0
    private var countedSince = NIODeadline.now()
    /// Calls of `Health.Watch`.
    private var watches = 0
    /// Calls whose client nobody has checked.
    private var unsigned = 0
    /// Bytes of calls' messages that are not complete.
    private var heldBytes = 0
    private var unsignedBytes = 0
    /// Calls of which nothing is read for now.
    private var heldBack = 0

    /// Silence after which a ping asks whether the client is there, and time that it gets to answer.
    private static let pingAfter = TimeAmount.seconds(30)
    private static let pingTimeout = TimeAmount.seconds(20)
    /// Of pings and of resets, beside one for each call that there may be, in 30 seconds.
    private static let abuseLeast = 500
    private static let abuseInterval = TimeAmount.seconds(30)
    /// Nobody is asked who they are for these.
    private static let watchesMost = 16
    /// Calls whose client nobody has checked: health, reflection, and sessions that say hello.
    private static let unsignedCalls = 256
    /// Bytes of messages that may be incomplete on all calls whose client nobody has checked.
    private static let unsignedMost = 1_048_576
    /// The same of the others, beside a batch.
    private static let heldMost = 4_194_304
    /// Calls of which nothing may be read at a time: of each, a window of bytes waits that nobody counts.
    private static let heldBackMost = 64
    private static let pingData = HTTP2PingData(withInteger: 0x6d61_7274_6c65_74)

    init(services: GRPCServices, loop: GRPCLoop, state: LoopState, peer: Peer) {
        self.services = services
        self.loop = loop
        self.state = state
        self.peer = peer
    }

    /// Frames of the connection itself; NIO answers pings.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.heard()
        switch self.unwrapInboundIn(data).payload {
        case .ping(_, ack: false), .settings(.settings), .priority: break
        default: return
        }
        self.pings += 1
        self.checkAbuse()
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
        if isReset {
            self.resets += 1
            self.checkAbuse()
        }
        if self.isLeaving, self.streams == 0 { self.closeSoon() }
    }

    /// - Returns: whether there may be one more call of nobody known; then ``unsignedEnded()`` must follow.
    func unsignedBegan() -> Bool {
        guard self.unsigned < Self.unsignedCalls else { return false }
        self.unsigned += 1
        return true
    }

    func unsignedEnded() { self.unsigned -= 1 }

    /// Bytes came from the client.
    func heard() {
        self.lastActivity = .now()
        self.pingedAt = nil
    }

    /// A message goes out: the client may measure with it.
    func sent() { self.pings = 0 }

    /// Ends the connection of a client that does too often what is harmless now and then.
    private func checkAbuse() {
        let now = NIODeadline.now()
        if now - self.countedSince > Self.abuseInterval {
            self.countedSince = now
            (self.pings, self.resets) = (0, 0)
        }
        guard max(self.pings, self.resets) > Self.abuseLeast + self.services.options.streamsPerConnection, let context = self.context else { return }
        self.leave(.enhanceYourCalm, "too_many_pings")
        context.close(promise: nil)
    }

    /// - Returns: whether the connection may have one more; then ``stoppedWatching()`` must follow.
    func startWatching() -> Bool {
        guard self.watches < Self.watchesMost else { return false }
        self.watches += 1
        return true
    }

    func stoppedWatching() { self.watches -= 1 }

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

    /// - Returns: whether one more call may leave its bytes unread; then ``heldBackEnded()`` must follow.
    func heldBackBegan() -> Bool {
        guard self.heldBack < Self.heldBackMost else { return false }
        self.heldBack += 1
        return true
    }

    func heldBackEnded() { self.heldBack -= 1 }

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
        guard self.context != nil, !self.isLeaving else { return }
        self.leave(.noError, "")
        if self.streams == 0 { self.closeSoon(.seconds(1)) }
    }

    private func leave(_ code: HTTP2ErrorCode, _ why: String) {
        self.isLeaving = true
        self.send(.goAway(lastStreamID: .maxID, errorCode: code, opaqueData: why.isEmpty ? nil : ByteBuffer(string: why)))
    }

    private func send(_ payload: HTTP2Frame.FramePayload) {
        self.context?.writeAndFlush(self.wrapOutboundOut(HTTP2Frame(streamID: .rootStream, payload: payload)), promise: nil)
    }
}
