import MartletClient
import Testing

/// The connection's rules, as values: what happens goes in, what to do comes out.
struct LinkTests {
    /// Pauses are as long as they may be.
    static func link(transports: Int = 2, usesTokens: Bool = false) -> Link {
        Link(
            .init(transports: transports, usesTokens: usesTokens, connectMs: 5_000, upgradeMs: 60_000),
            backoff: Backoff(.init(base: 1, most: 30), random: { $0 }), tuner: HeartbeatTuner(.init()))
    }

    static func welcome(retryMs: Int64? = 700, heartbeatMs: Int64 = 20_000, expiresAt: Int64? = nil) -> Welcome {
        var welcome = Welcome()
        (welcome.retryMs, welcome.heartbeatMs, welcome.serverTimeMs, welcome.expiresAtMs) = (retryMs, heartbeatMs, 1_000_000, expiresAt)
        return welcome
    }

    /// One whose session stands since the time 0.
    static func open(usesTokens: Bool = false, _ welcome: Welcome = Self.welcome()) -> Link {
        var link = Self.link(usesTokens: usesTokens)
        link.start(0)
        if usesTokens { link.tokenArrived("t", 0) }
        link.opened(1, welcome, 0)
        _ = link.take()
        return link
    }

    @Test func connectsAndWaitsLongerEachTime() {
        var link = Self.link()
        link.start(0)
        #expect(link.take() == [.connecting, .open(1, transport: 0)])
        var now: Int64 = 0
        var pauses: [Int64] = []
        for attempt in 1...7 {
            link.ended(attempt, .unreachable("no"), now)
            guard case .waiting(let until) = link.state else {
                Issue.record("\(link.state)")
                return
            }
            pauses.append(until - now)
            now = until
            link.timer(now - 1)
            #expect(link.state == .waiting(until: until))
            link.timer(now)
        }
        #expect(pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
    }

    @Test func fallsBackWhenAnUpgradeFailsAndComesBackLater() {
        var link = Self.link()
        link.start(0)
        _ = link.take()
        link.ended(1, .foreign(403, retryAfterMs: nil), 0)
        #expect(link.take() == [.open(2, transport: 1)])
        link.opened(2, Self.welcome(heartbeatMs: 100_000), 10)
        _ = link.take()
        link.timer(60_010)
        #expect(link.take() == [.probe(transport: 0)])
        link.probed(false, 60_020)
        link.heard(2, isBeat: false, 100_000)
        link.timer(180_019)
        #expect(link.take().isEmpty)
        link.heard(2, isBeat: false, 180_020)
        link.timer(180_020)
        #expect(link.take() == [.probe(transport: 0)])
        link.probed(true, 180_030)
        #expect(link.take() == [.end(2), .connecting, .open(3, transport: 0)])
    }

    @Test func waitsWhenNoTransportGetsThrough() {
        var link = Self.link()
        link.start(0)
        _ = link.take()
        link.timer(4_999)
        #expect(link.take().isEmpty)
        link.timer(5_000)
        #expect(link.take() == [.end(1), .open(2, transport: 1)])
        link.ended(2, .lost("reset"), 5_100)
        #expect(link.state == .waiting(until: 6_100))
        link.timer(6_100)
        #expect(link.take().last == .open(3, transport: 0))
    }

    @Test func aServerThatIsGoneChangesNoTransport() {
        var link = Self.open()
        link.ended(1, .lost("reset"), 10)
        link.timer(710)
        _ = link.take()
        // It was ended while it answered the handshake: the transport got through before.
        link.ended(2, .lost("reset"), 720)
        guard case .waiting(let until) = link.state else {
            Issue.record("\(link.state)")
            return
        }
        link.timer(until)
        #expect(link.take().last == .open(3, transport: 0))
        // Nothing listens.
        link.ended(3, .unreachable("no"), until)
        guard case .waiting(let later) = link.state else {
            Issue.record("\(link.state)")
            return
        }
        link.timer(later)
        #expect(link.take().last == .open(4, transport: 0))
        // Once more in a row: now it may be blocked. But nothing listens for the other one either.
        link.ended(4, .lost("reset"), later)
        #expect(link.take() == [.open(5, transport: 1)])
        link.ended(5, .unreachable("no"), later)
        guard case .waiting(let last) = link.state else {
            Issue.record("\(link.state)")
            return
        }
        link.timer(last)
        #expect(link.take().last == .open(6, transport: 0))
    }

    @Test func onlyASlowNetworkMakesItWaitLongerForAWelcome() {
        var link = Self.open()
        link.ended(1, .lost("reset"), 10)
        var now: Int64 = 710
        link.timer(now)
        for attempt in 2...6 {
            // A server that is down says nothing of the network.
            link.ended(attempt, .unreachable("no"), now)
            guard case .waiting(let until) = link.state else {
                Issue.record("\(link.state)")
                return
            }
            now = until
            link.timer(now)
            #expect(link.deadline == now + 5_000)
        }
        for patience: Int64 in [5_000, 10_000, 20_000, 40_000, 40_000] {
            // Neither transport is welcomed in time.
            for _ in 0..<2 {
                #expect(link.deadline == now + patience)
                now = link.deadline
                link.timer(now)
            }
            guard case .waiting(let until) = link.state else {
                Issue.record("\(link.state)")
                return
            }
            now = until
            link.timer(now)
        }
    }

    @Test func aTransportThatIsUsedInsteadOfABlockedOneStays() {
        var link = Self.link()
        link.start(0)
        link.ended(1, .foreign(403, retryAfterMs: nil), 0)
        link.opened(2, Self.welcome(), 10)
        link.ended(2, .lost("reset"), 20)
        link.timer(720)
        _ = link.take()
        link.ended(3, .unreachable("no"), 730)
        guard case .waiting(let until) = link.state else {
            Issue.record("\(link.state)")
            return
        }
        link.timer(until)
        #expect(link.take().last == .open(4, transport: 1))
    }

    @Test func listensToWhatTheServerSaysOfComingBack() {
        var lost = Self.open()
        lost.ended(1, .lost("reset"), 10)
        #expect(lost.state == .waiting(until: 710))

        var drained = Self.open()
        drained.drained(1, afterMs: 4_321)
        drained.ended(1, .closed(1_012, "service restart"), 10)
        #expect(drained.state == .waiting(until: 4_331))

        var busy = Self.link()
        busy.start(0)
        busy.ended(1, .refused(MartletError("too_many_sessions", "", retryAfterMs: 9_000)), 0)
        #expect(busy.state == .waiting(until: 10_000), "its time, and a pause on top")
    }

    @Test(arguments: [
        (4_000, true), (4_001, true), (4_499, true), (1_001, true), (1_011, true), (1_012, true), (4_500, false), (4_502, false), (1_008, false),
    ])
    func closeCodes(code: Int, comesBack: Bool) {
        var link = Self.open()
        link.ended(1, .closed(code, ""), 10)
        #expect((link.state == .stopped) == !comesBack)
    }

    @Test func silenceEndsAConnection() {
        var link = Self.open(Self.welcome(heartbeatMs: 20_000))
        link.heard(1, isBeat: true, 20_000)
        #expect(link.deadline == 55_000)
        link.timer(54_999)
        #expect(link.take() == [.heartbeat])
        link.timer(55_000)
        #expect(link.take().contains(.end(1)))
        #expect(link.state == .waiting(until: 55_000), "it has taken its time already")
    }

    @Test func aCutConnectionShortensTheHeartbeatAtOnce() {
        var link = Self.open(Self.welcome(heartbeatMs: 25_000))
        #expect(link.wish == 25)
        link.ended(1, .lost("reset"), 20_000)
        #expect(link.wish == 15)
        link.timer(20_700)
        link.opened(2, Self.welcome(), 20_800)
        #expect(link.tuner.seconds == 15)
        // A server that was away for long says nothing about the network.
        var away = Self.open(Self.welcome(heartbeatMs: 25_000))
        away.ended(1, .lost("reset"), 20_000)
        away.timer(20_700)
        away.ended(2, .unreachable(""), 20_700)
        away.timer(40_000)
        away.opened(3, Self.welcome(), 40_000)
        #expect(away.tuner.seconds == 25)
    }

    @Test func readingThatIsHeldUpIsNoSilence() {
        var link = Self.open(Self.welcome(heartbeatMs: 1_000))
        link.paused(true, 100)
        link.timer(1_100)
        link.timer(50_000)
        #expect(link.take() == [.heartbeat, .heartbeat])
        link.paused(false, 50_000)
        link.timer(51_749)
        #expect(link.state == .open)
        link.timer(51_750)
        #expect(link.state != .open)
    }

    @Test func asksForATokenAndOnceMoreWhenItIsRefused() {
        var link = Self.link(usesTokens: true)
        link.start(0)
        #expect(link.take() == [.connecting, .askToken])
        link.tokenArrived("old", 5)
        #expect(link.take() == [.open(1, transport: 0)])
        let refusal = MartletError(.tokenExpired, "")
        link.ended(1, .refused(refusal), 10)
        #expect(link.take() == [.askToken])
        link.tokenArrived("new", 20)
        #expect(link.take() == [.open(2, transport: 0)])
        link.ended(2, .refused(refusal), 30)
        #expect(link.take() == [.end(2), .stopped(refusal)])
    }

    @Test func renewsATokenBeforeItsEnd() {
        var link = Self.open(usesTokens: true, Self.welcome(heartbeatMs: 600_000, expiresAt: 1_100_000))
        #expect(link.deadline == 80_000)
        link.timer(80_000)
        #expect(link.take() == [.askToken])
        link.tokenArrived("new", 80_100)
        #expect(link.take() == [.renew(token: "new")])
        link.renewed(expiresAtMs: 1_200_000, serverTimeMs: 1_080_200, 80_200)
        #expect(link.deadline == 80_200 + 119_800 - 23_960)
    }

    @Test func aTokenClosureThatFailsIsAskedAgain() {
        var link = Self.link(usesTokens: true)
        link.start(0)
        link.tokenFailed(MartletError(.tokenFailed, ""), 10)
        #expect(link.state == .waiting(until: 1_010))
        link.timer(1_010)
        #expect(link.take().filter { $0 == .askToken }.count == 2)
        var open = Self.open(usesTokens: true, Self.welcome(expiresAt: 1_002_000))
        open.ended(1, .closed(4_002, "token expired"), 2_000)
        #expect(open.take() == [.connecting, .askToken])
    }

    @Test func goesOnWithoutACursorThatTheServerDoesNotKnow() {
        var link = Self.link()
        link.start(0)
        _ = link.take()
        let refusal = MartletError(.invalidCursor, "")
        link.ended(1, .refused(refusal), 0)
        #expect(link.take() == [.problem(refusal), .forgetCursor, .open(2, transport: 0)])
    }

    @Test func whatAnEarlierTrySaysIsNotListenedTo() {
        var link = Self.open()
        link.ended(0, .closed(4_500, ""), 10)
        link.opened(7, Self.welcome(), 10)
        #expect(link.state == .open && link.take().isEmpty)
    }
}

struct HeartbeatTunerTests {
    @Test func lengthensSlowlyAndNotAboveWhatFailed() {
        var tuner = HeartbeatTuner(.init(start: 25, least: 10, most: 120))
        tuner.held(25)
        #expect(tuner.seconds == 31.25)
        tuner.cut(after: 30)
        #expect(tuner.seconds == 22.5)
        for _ in 1...19 { tuner.held(22.5) }
        #expect(tuner.seconds == 22.5)
        tuner.held(22.5)
        tuner.held(22.5)
        #expect(tuner.seconds > 22.5, "much later it is tried again")
    }

    @Test func staysWithinItsBounds() {
        var tuner = HeartbeatTuner(.init(start: 25, least: 10, most: 30))
        tuner.cut(after: 6)
        #expect(tuner.seconds == 10)
        tuner.cut(after: 0.1)
        #expect(tuner.saved.bad == 6, "so soon it was something else")
        var long = HeartbeatTuner(.init(start: 25, least: 10, most: 30))
        for _ in 1...9 { long.held(long.seconds) }
        #expect(long.seconds == 30)
        #expect(HeartbeatTuner(.init(), saved: long.saved).seconds == 30)
    }
}
