import NIOCore

/// The client's end of a member's connection.
protocol MemberConnection: ChannelInboundHandler {
    var life: MemberLife { get }
    /// From the handler's start to its end.
    var context: ChannelHandlerContext? { get set }
    /// Says that it is alive, where the client must.
    func ping()
}

extension MemberConnection {
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.refuse("\(error)") }

    /// It takes part; one that is to stall reads nothing from now on.
    func opened(_ now: UInt64) {
        guard self.life.opened(now), self.life.loop.behaviour.stalls else { return }
        _ = self.context?.channel.setOption(.autoRead, value: false)
    }

    /// Ends it from here because of what came.
    func refuse(_ why: String) {
        self.life.ended(why)
        self.context?.close(promise: nil)
    }

    /// Ends it from here, as a network does that goes away: at once, and without a port that waits.
    func drop() {
        guard let context = self.context, self.life.dropped() else { return }
        context.channel.abort()
    }

    /// Reads again after a stall.
    func resume() { _ = self.context?.channel.setOption(.autoRead, value: true) }

    func ping() {}
}

/// Where a member's connection stands, and what counts of that.
final class MemberLife {
    let loop: LoadLoop
    let member: Member
    /// When connecting began: nanoseconds of the monotonic clock.
    let started: UInt64
    private(set) var isOpen = false
    private var isDone = false

    init(_ member: Member, on loop: LoadLoop, started: UInt64) {
        self.loop = loop
        self.member = member
        self.started = started
    }

    /// - Returns: false if it was open before, or is over.
    func opened(_ now: UInt64) -> Bool {
        guard !self.isOpen, !self.isDone else { return false }
        self.isOpen = true
        self.loop.shot.counts.open += 1
        self.loop.shot.opening.add(now &- self.started)
        self.loop.attempted(opened: true)
        return true
    }

    /// The server ended it, or the network, or what came cannot be read.
    func ended(_ why: String) {
        guard !self.isDone else { return }
        self.isDone = true
        self.member.connection = nil
        self.loop.shot.counts.note(why)
        if self.isOpen {
            self.loop.shot.counts.open -= 1
            self.loop.shot.counts.closed += 1
        } else {
            self.loop.attempted(opened: false)
        }
    }

    /// - Returns: false if it was over before.
    func dropped() -> Bool {
        guard !self.isDone else { return false }
        self.isDone = true
        if self.isOpen { self.loop.shot.counts.open -= 1 }
        self.member.connection = nil
        return true
    }
}
