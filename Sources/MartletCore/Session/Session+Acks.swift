package import MartletWire

extension Session {
    /// The socket has taken everything that was flushed. With explicit acks this changes nothing.
    package mutating func socketTook() {
        guard self.ackMode == .none else { return }
        self.window.clear()
        self.roomOpened()
    }

    /// The client acked by sequence number.
    ///
    /// Acking again what was acked before is harmless.
    ///
    /// - Parameter at: Unix time in milliseconds.
    /// - Throws: `seq_unknown` if a number was never sent on this session, `bad_request` in mode `none`; nothing is acked then.
    package mutating func acked(_ ack: SeqAck, at: Int64) throws(WireError) {
        guard self.ackMode == .explicit || self.isRamen else {
            throw WireError(
                .badRequest, "This session takes no acks by seq (ack=none): ack by cursor, or connect with ack=explicit.")
        }
        if self.phase == .opening, self.isRamen, case .upTo(let seq) = ack { self.seqAckedEarly = max(self.seqAckedEarly, seq) }
        guard self.phase == .live || self.phase == .draining else { return }
        switch ack {
        case .upTo(let seq):
            guard seq < self.nextSeq else { throw Self.seqUnknown(seq) }
            if self.isRamen {
                if let positions = self.marks.acked(seq) { self.advance(to: positions, at: at) }
            } else {
                self.finish(at: at) { $0.seq <= seq }
            }
        case .each(let seqs):
            for seq in seqs where seq >= self.nextSeq || seq < self.firstSeq { throw Self.seqUnknown(seq) }
            let set = Set(seqs)
            self.finish(at: at) { set.contains($0.seq) }
        }
    }

    /// The client acked by cursor.
    ///
    /// - Parameters:
    ///   - end: the end of the log.
    ///   - at: Unix time in milliseconds.
    /// - Throws: `invalid_cursor` if no part of it is this reader's.
    package mutating func acked(_ cursor: Cursor, end: UInt64, at: Int64) throws(WireError) {
        guard self.phase != .closed else { return }
        let (scopes, gaps) = self.identity.accept(cursor, end: end)
        guard !scopes.isEmpty || gaps.isEmpty else {
            throw WireError(.invalidCursor, "This cursor is of another user, device or history.")
        }
        var positions = Positions()
        for scope in scopes { positions.set(scope, from: cursor.positions) }
        guard self.phase != .opening else {
            self.ackedEarly.advance(to: positions)
            // The session may end before it has opened.
            self.isDirty = true
            return
        }
        self.advance(to: positions, at: at)
    }

    private mutating func advance(to positions: Positions, at: Int64) {
        self.finish(at: at) { $0.place <= positions[$0.lane] }
        self.unackedGaps.removeAll { $0.to <= positions[$0.lane] }
        guard !self.ackedBase.covers(positions) else { return }
        for lane in Lane.all where positions[lane] > self.ackedBase[lane] { self.ackedLanes |= Self.bit(lane) }
        self.ackedBase.advance(to: positions)
        // Acked beyond what was sent here: another session of the device sent it.
        self.reached.advance(to: positions)
        self.ackedAt = at
        self.isDirty = true
    }

    /// Takes messages out of flight.
    private mutating func finish(at: Int64, where isAcked: (InFlight) -> Bool) {
        let before = self.inFlight.count
        var newest: UInt64 = 0
        self.inFlight.removeAll { entry in
            guard isAcked(entry) else { return false }
            self.ackedLanes |= Self.bit(entry.lane)
            newest = max(newest, entry.seq)
            self.window.finished(entry.lane.priority, bytes: Int(entry.bytes))
            return true
        }
        guard self.inFlight.count < before else { return }
        // What came after a notice arrived, so the notice did.
        self.unackedGaps.removeAll { $0.seq <= newest }
        self.roomOpened()
        self.ackedAt = at
        self.isDirty = true
    }

    private mutating func roomOpened() {
        self.waitsForRoom = false
        self.roomGrew = true
    }

    /// RAMEN: how many numbers are left of the reserved block.
    package var seqLeft: UInt64 { self.seqEnd == .max ? .max : self.seqEnd - self.nextSeq }

    /// RAMEN: more numbers were reserved.
    ///
    /// - Parameter end: the new end of the block (exclusive).
    package mutating func reserved(to end: UInt64) {
        self.seqEnd = max(self.seqEnd, end)
        self.roomOpened()
    }
}
