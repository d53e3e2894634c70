extension Link {
    // MARK: A session that stands

    package mutating func opened(_ attempt: Int, _ welcome: Welcome, _ now: Int64) {
        guard attempt == self.attempt, self.state == .connecting else { return }
        self.state = .open
        self.heardAt = now
        self.heartbeatMs = max(1, welcome.heartbeatMs)
        self.beats = 0
        self.retryMs = welcome.retryMs
        self.drainMs = nil
        self.backoff.reset()
        self.refusals = 0
        self.breaks = 0
        self.slowRounds = 0
        self.proven = self.transport
        self.isDoubted = false
        if let silence = self.silence, now - silence.at < 10_000 {
            self.tuner.cut(after: silence.seconds)
            self.actions.append(.learnt)
        }
        self.silence = nil
        self.willEnd(at: welcome.expiresAtMs, serverTime: welcome.serverTimeMs, now)
        if self.transport == 0 {
            self.upgrades = 0
            self.probeAt = .max
        } else {
            self.probeLater(now)
        }
    }

    /// Something came.
    ///
    /// - Parameter isBeat: it was a heartbeat; nil if it only says that the connection lives.
    package mutating func heard(_ attempt: Int, isBeat: Bool?, _ now: Int64) {
        guard attempt == self.attempt, self.state == .open else { return }
        self.heardAt = now
        guard let isBeat else { return }
        self.beats = isBeat ? self.beats + 1 : 0
        if isBeat { self.actions.append(.heartbeat) }
        guard self.beats == Self.quietBeats else { return }
        self.tuner.held(Double(self.heartbeatMs) / 1_000)
        self.actions.append(.learnt)
    }

    package mutating func drained(_ attempt: Int, afterMs: Int64) {
        guard attempt == self.attempt else { return }
        self.drainMs = max(0, min(afterMs, 3_600_000))
    }

    package mutating func renewed(expiresAtMs: Int64?, serverTimeMs: Int64?, _ now: Int64) {
        self.refusals = 0
        self.willEnd(at: expiresAtMs, serverTime: serverTimeMs, now)
    }

    /// A new token is asked for when a fifth of the time is left, but not earlier than a minute before the end.
    private mutating func willEnd(at expiresAt: Int64?, serverTime: Int64?, _ now: Int64) {
        (self.renewAt, self.tokenEndsAt) = (.max, .max)
        guard self.settings.usesTokens, let expiresAt, let serverTime else { return }
        let left = max(0, min(expiresAt - serverTime, 31_536_000_000))
        self.tokenEndsAt = now + left
        self.renewAt = now + max(500, left - min(60_000, max(left / 5, 1_000)))
    }

    private mutating func probeLater(_ now: Int64) {
        self.probeAt = now + min(1_800_000, self.settings.upgradeMs << Int64(min(self.upgrades, 10)))
        self.upgrades += 1
    }

    /// What became of a probe.
    package mutating func probed(_ isThrough: Bool, _ now: Int64) {
        guard self.state == .open, self.transport != 0 else { return }
        guard isThrough else { return self.probeLater(now) }
        self.transport = 0
        self.restart(now)
    }

    // MARK: The end of one

    package mutating func ended(_ attempt: Int, _ end: SessionEnd, _ now: Int64) {
        guard attempt == self.attempt else { return }
        switch self.state {
        case .connecting: self.judge(end, now)
        case .open: self.lost(end, now)
        default: break
        }
    }

    /// What a try that failed means.
    private mutating func judge(_ end: SessionEnd, _ now: Int64) {
        switch end {
        case .refused(let error): self.refused(error, now)
        case .closed(let code, let reason):
            if code == 4002 || code == 4501 { return self.tokenRefused(.closed(code, reason), now) }
            guard Self.isTransient(code) else { return self.stop(.closed(code, reason)) }
            self.wait(.closed(code, reason), least: self.drainMs, now)
        case .unreachable(let why):
            // Nothing is there at all, which says nothing of a transport: by the one that got through, once something is.
            self.transport = self.proven ?? 0
            self.slowRounds = 0
            self.wait(MartletError(.unreachable, why), now)
        case .foreign(let status, let retryAfterMs):
            self.next(MartletError(.unreachable, "Something that is not Martlet answered \(status).", retryAfterMs: retryAfterMs), now)
        case .lost(let why): self.brokeOff(MartletError(.unreachable, why), now)
        case .silent: self.next(MartletError(.unreachable, "The server did not answer in time."), isSlow: true, now)
        }
    }

    /// What got through before is not blocked because one try broke off: the server may have been ended in the middle of it.
    private mutating func brokeOff(_ error: MartletError, _ now: Int64) {
        guard self.transport == self.proven, self.breaks == 0 else { return self.next(error, now) }
        self.breaks += 1
        self.wait(error, now)
    }

    private mutating func refused(_ error: MartletError, _ now: Int64) {
        if error.isOfToken { return self.tokenRefused(error, now) }
        switch error.code {
        case .invalidCursor:
            self.actions += [.problem(error), .forgetCursor]
            self.open(now)
        case .forbidden where !self.isDoubted, "too_many_topics" where !self.isDoubted:
            self.isDoubted = true
            self.actions.append(.doubtTopics)
            self.open(now)
        case "not_found", "upgrade_required", "method_not_allowed": self.next(error, now)
        default:
            guard error.isTemporary else { return self.stop(error) }
            self.wait(error, now)
        }
    }

    /// Once a new token is asked for; refused again, it is over.
    private mutating func tokenRefused(_ error: MartletError, _ now: Int64) {
        self.refusals += 1
        guard self.settings.usesTokens, self.refusals < 2 else { return self.stop(error) }
        self.token = nil
        self.openWithToken(now)
    }

    /// This transport does not get through: the next one, or a pause when none is left.
    private mutating func next(_ error: MartletError, isSlow: Bool = false, _ now: Int64) {
        self.tried.insert(self.transport)
        guard let next = (0..<self.settings.transports).first(where: { !self.tried.contains($0) }) else {
            self.transport = 0
            self.slowRounds = isSlow ? self.slowRounds + 1 : 0
            return self.wait(error, now)
        }
        self.transport = next
        self.open(now)
    }

    private mutating func lost(_ end: SessionEnd, _ now: Int64) {
        let isDrained = self.drainMs != nil
        switch end {
        case .closed(4002, let reason), .closed(4501, let reason):
            self.actions.append(.connecting)
            self.state = .asking
            return self.tokenRefused(.closed(4002, reason), now)
        case .closed(let code, let reason):
            guard Self.isTransient(code) else { return self.stop(.closed(code, reason)) }
            self.comeBack(.closed(code, reason), now)
        case .refused(let error):
            if error.isOfToken { return self.tokenRefused(error, now) }
            // An ack that the server does not know is of no use; a new session says where it is by its cursor.
            guard error.isTemporary || error.code == "seq_unknown" else { return self.stop(error) }
            self.comeBack(error, now)
        case .silent:
            self.silence = (Double(now - self.heardAt) / 1_750, now)
            // It has taken its time already.
            self.wait(MartletError(.unreachable, "Nothing was heard from the server for too long."), exactly: 0, now)
        case .lost(let why), .unreachable(let why):
            if !isDrained { self.silence = (Double(now - self.heardAt) / 1_000, now) }
            self.comeBack(MartletError(.unreachable, why), now)
        case .foreign: self.comeBack(MartletError(.unreachable, "The connection broke off."), now)
        }
    }

    /// After the time that the server gave each client for itself.
    private mutating func comeBack(_ error: MartletError, _ now: Int64) {
        let asked = self.drainMs ?? error.retryAfterMs ?? self.retryMs
        self.drainMs = nil
        guard let asked else { return self.wait(error, now) }
        self.wait(error, exactly: asked, now)
    }

    /// Whether connecting again after this close code makes sense.
    static func isTransient(_ code: Int) -> Bool {
        (4000..<4500).contains(code) || [1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015].contains(code)
    }
}
