/// What to do with a message that was just committed.
package enum OnCommitted: Sendable {
    /// Send it now. `flush` follows at the end of the loop's turn.
    case send(Delivery)
    /// It is read from the log later, or was sent already, or is not for now.
    case wait
}

/// What a read brought.
package struct OnReadDone: Sendable {
    package var gaps: [GapNotice] = []
    package var deliveries: [Delivery] = []
}

extension Session {
    /// A message for this device was committed. Calls come in commit order; repeats are harmless.
    ///
    /// - Parameters:
    ///   - superseded: the offset of the message that it replaces in this inbox.
    ///   - now: the server's clock, in milliseconds.
    ///   - at: Unix time in milliseconds.
    package mutating func committed(
        _ message: StoredMessage, scope: Scope, superseded: UInt64?, now: Int64, at: Int64
    ) -> OnCommitted {
        guard self.phase != .closed else { return .wait }
        let lane = Lane(scope, message.priority)
        guard message.offset > self.reached[lane] else { return .wait }
        if let superseded {
            // Times in a range must lie before the collapse, so that what was sent before it can be told from what was not.
            self.journal.cut(lane)
            if self.isReading { self.invalidate(superseded) }
        }
        let priority = Int(message.priority.rawValue)
        if self.caughtUp[priority], let index = self.early.firstIndex(where: { $0.lane == lane && $0.offset == message.offset }) {
            // A read saw it before it was announced, and sent it in an older one's place.
            self.early.remove(at: index)
            self.reached.advance(lane, to: message.offset)
            self.journal.cut(lane)
            self.journal.sent(lane, offset: message.offset, at: at)
            self.journal.cut(lane)
            self.isDirty = true
            return .wait
        }
        let goes =
            self.phase == .live && self.caughtUp[priority] && !self.isBehind(above: message.priority)
            && self.window.admits(message.priority, bytes: message.weight) && self.nextSeq < self.seqEnd
        guard goes, !message.isExpired(at: now) || message.liveOnly else {
            if !message.liveOnly {
                self.caughtUp[priority] = false
                self.missed[priority] = max(self.missed[priority], message.offset)
            }
            return .wait
        }
        return .send(self.start(message, lane: lane, place: message.offset, at: at))
    }

    /// A message was taken back: it must not be sent any more.
    package mutating func recalled(offset: UInt64) {
        if self.isReading { self.invalidate(offset) }
    }

    private mutating func invalidate(_ offset: UInt64) {
        // One more than the limit says "too many".
        if self.invalidated.count <= Self.invalidatedLimit { self.invalidated.append(offset) }
    }

    /// Whether something more urgent waits in the log.
    private func isBehind(above priority: Priority) -> Bool {
        for index in 0..<Int(priority.rawValue) where !self.caughtUp[index] { return true }
        return false
    }

    /// Whether everything that was committed and announced has been sent.
    package var isCaughtUp: Bool { self.caughtUp[0] && self.caughtUp[1] && self.caughtUp[2] }

    /// What to read next; nil if nothing is to be read now. A request that was returned must end in ``readDone(_:now:at:)`` or ``readFailed()``.
    ///
    /// - Parameter now: the server's clock, in milliseconds.
    package mutating func nextRead(now: Int64) -> ReadRequest? {
        guard self.phase == .live, !self.isReading, !self.waitsForRoom, self.nextSeq < self.seqEnd else { return nil }
        let wanted = Priority.allCases.first { !self.caughtUp[Int($0.rawValue)] }
        guard let wanted, self.window.isOpen(for: wanted) else { return nil }
        self.isReading = true
        self.roomGrew = false
        self.invalidated = []
        let seqRoom = Int(clamping: self.seqEnd - self.nextSeq)
        return ReadRequest(
            app: self.app, user: self.user, device: self.device, after: self.reached,
            messages: min(seqRoom, self.window.room(for: .high)), mediumAndLow: self.window.room(for: .medium),
            low: self.window.room(for: .low), bytes: self.window.byteRoom(for: .high),
            mediumAndLowBytes: self.window.byteRoom(for: .medium), lowBytes: self.window.byteRoom(for: .low),
            oversizeFirst: self.window.isEmpty, now: now)
    }

    /// A read could not be done; ``nextRead(now:)`` asks again.
    package mutating func readFailed() {
        self.isReading = false
        self.invalidated = []
    }

    /// A read ended.
    ///
    /// - Parameters:
    ///   - now: the server's clock, in milliseconds.
    ///   - at: Unix time in milliseconds.
    /// - Returns: what to send, in order. Then ask ``nextRead(now:)`` again.
    package mutating func readDone(_ result: ReadResult, now: Int64, at: Int64) -> OnReadDone {
        var out = OnReadDone()
        guard self.isReading, self.phase == .live else { return out }
        self.isReading = false
        defer { self.invalidated = [] }
        guard self.invalidated.count <= Self.invalidatedLimit else { return out }
        for gap in result.gaps where gap.to > self.reached[gap.lane] {
            out.gaps.append(
                .init(
                    reason: .inboxFull, scope: gap.lane.scope, priority: gap.lane.priority, from: gap.from, to: gap.to))
            self.noteGap(gap)
            self.reached.advance(gap.lane, to: gap.to)
            self.journal.cut(gap.lane)
            self.isDirty = true
        }
        var progressed = false
        var stopped: Priority?
        var isNewer = false
        for entry in result.entries {
            let priority = entry.lane.priority
            if let stopped, priority >= stopped { continue }
            if self.isNewer(above: priority, than: result.end) {
                stopped = priority
                isNewer = true
                continue
            }
            guard entry.offset > self.reached[entry.lane] else {
                progressed = true
                continue
            }
            switch self.take(entry, now: now, at: at, into: &out) {
            case .done: progressed = true
            case .blocked:
                stopped = priority
                self.waitsForRoom = true
            }
        }
        for priority in Priority.allCases {
            let index = Int(priority.rawValue)
            if let stopped, priority >= stopped { break }
            if result.more[index] { break }
            if self.missed[index] > result.end {
                isNewer = true
                continue
            }
            self.caughtUp[index] = true
            for scope in Scope.allCases { self.reached.advance(Lane(scope, priority), to: result.end) }
        }
        // The own place of one that expired or was recalled is never read.
        self.early.removeAll { $0.offset <= self.reached[$0.lane] }
        // There is more, but nothing of it fitted: asking again is of use only when room opens.
        if !self.isCaughtUp, !isNewer, !progressed, !self.roomGrew { self.waitsForRoom = true }
        return out
    }

    /// Whether something more urgent was committed after the snapshot and waits to be read.
    private func isNewer(above priority: Priority, than end: UInt64) -> Bool {
        for index in 0..<Int(priority.rawValue) where self.missed[index] > end { return true }
        return false
    }

    private enum Taken {
        case done
        case blocked
    }

    /// Handles one place of a lane.
    private mutating func take(_ entry: LogEntry, now: Int64, at: Int64, into out: inout OnReadDone) -> Taken {
        guard case .message(let message) = entry.content else {
            self.pass(entry)
            return .done
        }
        if let index = self.early.firstIndex(where: { $0.lane == entry.lane && $0.offset == entry.offset }) {
            // Sent before, in an older one's place: now its own is reached.
            self.early.remove(at: index)
            self.journal.cut(entry.lane)
            self.journal.sent(entry.lane, offset: entry.offset, at: at)
            if message.offset == entry.offset {
                self.pass(entry)
                return .done
            }
        }
        if self.early.contains(where: { $0.lane == entry.lane && $0.offset == message.offset }) {
            self.pass(entry)
            return .done
        }
        let takesPlace = message.offset != entry.offset
        if takesPlace, self.early.count >= Self.earlyLimit || message.offset <= self.reached[entry.lane] {
            self.pass(entry)
            return .done
        }
        if message.isExpired(at: now) || self.invalidated.contains(message.offset) {
            // What was replaced or taken back meanwhile: the newer one has a place of its own.
            self.pass(entry)
            return .done
        }
        guard self.window.admits(message.priority, bytes: message.weight), self.nextSeq < self.seqEnd else { return .blocked }
        out.deliveries.append(self.start(message, lane: entry.lane, place: entry.offset, at: at))
        return .done
    }

    /// Keeps the recorded position before a gap until the client has shown that it got the notice.
    private mutating func noteGap(_ gap: LogGap) {
        guard self.ackMode == .explicit else { return }
        if let index = self.unackedGaps.firstIndex(where: { $0.lane == gap.lane }) {
            self.unackedGaps[index].to = gap.to
            self.unackedGaps[index].seq = self.nextSeq
        } else {
            self.unackedGaps.append(
                .init(lane: gap.lane, from: self.reached[gap.lane], to: gap.to, seq: self.nextSeq))
        }
    }

    /// Leaves a place behind without sending anything for it.
    private mutating func pass(_ entry: LogEntry) {
        self.reached.advance(entry.lane, to: entry.offset)
        self.journal.cut(entry.lane)
        self.isDirty = true
    }

    /// Sends a message for a place of a lane.
    private mutating func start(_ message: StoredMessage, lane: Lane, place: UInt64, at: Int64) -> Delivery {
        let seq = self.nextSeq
        self.nextSeq += 1
        self.reached.advance(lane, to: place)
        self.sentHigh.advance(lane, to: message.offset)
        self.window.started(message.priority, bytes: message.weight)
        if self.ackMode == .explicit {
            self.inFlight.append(
                .init(seq: seq, lane: lane, place: place, bytes: Int32(clamping: message.weight)))
        }
        if place == message.offset {
            self.journal.sent(lane, offset: place, at: at)
            if message.liveOnly { self.journal.cut(lane) }
        } else {
            self.early.append(.init(lane: lane, offset: message.offset))
            self.journal.cut(lane)
        }
        if self.isRamen {
            // Numbers of an earlier session stood for positions that this one may not have come to again.
            if seq == self.firstSeq { self.marks = SeqMarks() }
            self.marks.sent(seq, positions: self.reached)
        }
        self.isDirty = true
        return Delivery(
            message: message, seq: seq, redelivered: message.offset <= self.suspect[lane], cursor: self.cursor)
    }
}
