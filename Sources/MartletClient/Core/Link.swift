/// When to connect, by which transport, when to give a connection up, and when to ask for a token. A value: times come in as
/// milliseconds of a clock that only goes forward, what to do comes out as actions.
package struct Link {
    package enum State: Equatable, Sendable {
        case idle
        /// Waits for a token to connect with.
        case asking
        case connecting
        case open
        case waiting(until: Int64)
        case stopped
    }

    package enum Action: Equatable, Sendable {
        /// Open a session with this number by the transport at this index; the one before is over.
        case open(Int, transport: Int)
        /// End this session.
        case end(Int)
        case askToken
        case renew(token: String)
        case heartbeat
        /// See whether the transport at this index gets through.
        case probe(transport: Int)
        case connecting
        case waiting(milliseconds: Int64, MartletError)
        case stopped(MartletError?)
        case problem(MartletError)
        /// The cursor is none of the server's.
        case forgetCursor
        /// One of the topics of the address may not be allowed: name none, ask for each by itself.
        case doubtTopics
        /// The heartbeat's interval is another: keep it.
        case learnt
    }

    /// Beats without anything else after which an interval counts as held.
    static let quietBeats = 3

    package struct Settings: Sendable {
        package var transports: Int
        package var usesTokens: Bool
        package var connectMs: Int64
        package var upgradeMs: Int64
        package init(transports: Int, usesTokens: Bool, connectMs: Int64 = 5_000, upgradeMs: Int64 = 60_000) {
            self.transports = transports
            self.usesTokens = usesTokens
            self.connectMs = connectMs
            self.upgradeMs = upgradeMs
        }
    }

    let settings: Settings
    var backoff: Backoff
    package internal(set) var tuner: HeartbeatTuner
    package internal(set) var state = State.idle
    /// The number of the session that is being opened or is open.
    package internal(set) var attempt = 0
    package internal(set) var token: String?
    /// The transport in use, and the first one to try.
    package internal(set) var transport = 0
    var actions: [Action] = []

    /// The transport that was welcomed last.
    var proven: Int?
    /// Tries in a row of ``proven`` that broke off before they were welcomed.
    var breaks = 0
    /// Rounds in a row that ended because nothing answered in time: on a slow network everything takes longer.
    var slowRounds = 0
    /// Transports that failed since the round began.
    var tried: Set<Int> = []
    var refusals = 0
    var isDoubted = false
    var isAskingForRenewal = false
    var isPaused = false

    var heardAt: Int64 = 0
    var heartbeatMs: Int64 = 25_000
    var beats = 0
    var retryMs: Int64?
    var drainMs: Int64?
    /// How long the connection before was silent when it ended; counts if the next one stands soon.
    var silence: (seconds: Double, at: Int64)?

    var connectUntil: Int64 = .max
    var renewAt: Int64 = .max
    var tokenEndsAt: Int64 = .max
    var probeAt: Int64 = .max
    var beatAt: Int64 = .max
    var upgrades = 0

    package init(_ settings: Settings, backoff: Backoff, tuner: HeartbeatTuner) {
        self.settings = settings
        self.backoff = backoff
        self.tuner = tuner
    }

    /// Hands out what there is to do.
    package mutating func take() -> [Action] {
        defer { self.actions = [] }
        return self.actions
    }

    /// When ``timer(_:)`` is next to be called.
    package var deadline: Int64 {
        switch self.state {
        case .idle, .asking, .stopped: .max
        case .connecting: self.connectUntil
        case .waiting(let until): until
        case .open: min(self.isPaused ? self.beatAt : self.heardAt + self.silenceMs, self.renewAt, self.probeAt)
        }
    }

    /// The interval to wish for, in seconds: after a cut shorter at once, before it is known whether it was the network.
    package var wish: Double {
        guard let silence = self.silence else { return self.tuner.seconds }
        var tuner = self.tuner
        tuner.cut(after: silence.seconds)
        return tuner.seconds
    }

    var silenceMs: Int64 { self.heartbeatMs * 7 / 4 }

    // MARK: From outside

    package mutating func start(_ now: Int64) {
        guard self.state == .idle else { return }
        self.connect(now)
    }

    /// Ends for good.
    package mutating func stop(_ error: MartletError?) {
        guard self.state != .stopped else { return }
        if self.state == .open || self.state == .connecting { self.actions.append(.end(self.attempt)) }
        self.state = .stopped
        self.actions.append(.stopped(error))
    }

    /// Opens a new session in the place of this one.
    package mutating func restart(_ now: Int64) {
        guard self.state == .open else { return }
        self.actions.append(.end(self.attempt))
        self.connect(now)
    }

    package mutating func tokenArrived(_ token: String, _ now: Int64) {
        self.tokenEndsAt = .max
        if self.isAskingForRenewal, self.state == .open {
            self.isAskingForRenewal = false
            guard token != self.token else {
                self.renewAt = now + 5_000
                return self.actions.append(.problem(MartletError(.tokenExpired, "The token closure gave the same token again.")))
            }
            self.token = token
            self.actions.append(.renew(token: token))
        } else {
            self.token = token
        }
        self.isAskingForRenewal = false
        if self.state == .asking { self.open(now) }
    }

    package mutating func tokenFailed(_ error: MartletError, _ now: Int64) {
        self.isAskingForRenewal = false
        switch self.state {
        case .asking: self.wait(error, now)
        case .open:
            // When the token ends, so does the session, with 4002.
            self.renewAt = now + 5_000
            self.actions.append(.problem(error))
        default: break
        }
    }

    /// The reading is held up, because nobody takes what came; silence means nothing then.
    package mutating func paused(_ isPaused: Bool, _ now: Int64) {
        self.isPaused = isPaused
        self.heardAt = now
        self.beatAt = now + self.heartbeatMs
    }

    package mutating func timer(_ now: Int64) {
        switch self.state {
        case .idle, .asking, .stopped: break
        case .connecting:
            guard now >= self.connectUntil else { return }
            self.actions.append(.end(self.attempt))
            self.ended(self.attempt, .silent, now)
        case .waiting(let until):
            if now >= until { self.connect(now) }
        case .open: self.openTimer(now)
        }
    }

    private mutating func openTimer(_ now: Int64) {
        if self.isPaused {
            if now >= self.beatAt {
                self.beatAt = now + self.heartbeatMs
                self.actions.append(.heartbeat)
            }
        } else if now >= self.heardAt + self.silenceMs {
            self.actions.append(.end(self.attempt))
            return self.ended(self.attempt, .silent, now)
        }
        if now >= self.renewAt {
            self.renewAt = .max
            self.isAskingForRenewal = true
            self.actions.append(.askToken)
        }
        if now >= self.probeAt {
            self.probeAt = .max
            self.actions.append(.probe(transport: 0))
        }
    }

    // MARK: Connecting

    mutating func connect(_ now: Int64) {
        self.tried = []
        if self.state != .connecting, self.state != .asking { self.actions.append(.connecting) }
        self.openWithToken(now)
    }

    mutating func openWithToken(_ now: Int64) {
        guard self.settings.usesTokens, self.token == nil || now >= self.tokenEndsAt else { return self.open(now) }
        self.state = .asking
        guard !self.isAskingForRenewal else { return }
        self.actions.append(.askToken)
    }

    mutating func open(_ now: Int64) {
        self.attempt += 1
        self.state = .connecting
        self.isPaused = false
        self.connectUntil = now + self.settings.connectMs << Int64(min(3, self.slowRounds))
        self.actions.append(.open(self.attempt, transport: self.transport))
    }

    mutating func wait(_ error: MartletError, least: Int64? = nil, _ now: Int64) {
        let pause = self.backoff.next(least: least ?? error.retryAfterMs.map { min($0, 3_600_000) } ?? 0)
        self.wait(error, exactly: pause, now)
    }

    mutating func wait(_ error: MartletError, exactly pause: Int64, _ now: Int64) {
        self.state = .waiting(until: now + pause)
        self.actions.append(.waiting(milliseconds: pause, error))
    }
}
