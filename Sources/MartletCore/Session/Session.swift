package import MartletWire

/// Decides what one connection of a device is sent, and when.
///
/// A value without I/O: events come in as methods, work goes out as results. Knows no channel, clock, store or
/// task. It never holds a message: what it cannot send at once it reads from the log later, so its size does not
/// depend on how far behind it is.
///
/// ```
/// opening ──opened──► live ──drained──► draining ──closed──► closed
/// live: committed / readDone / acked / socketTook, then nextRead() until it returns nil
/// ```
///
/// Calls that make no sense in the present state (an ack after the close, a read that ends after it) are harmless
/// races and change nothing. A peer's violation is thrown as a ``WireError``.
package struct Session: Sendable {
    enum Phase: UInt8, Sendable {
        case opening
        case live
        /// Told to go: acks are taken, nothing is sent any more.
        case draining
        case closed
    }

    /// What the client asked for.
    package let app: AppID
    package let user: String?
    package let device: String?
    package let ackMode: AckMode
    package let isRamen: Bool
    /// Names the session in its cursors.
    package let tag: UInt32
    let identity: CursorIdentity

    var phase = Phase.opening
    /// Whether the device's record has come.
    private var isOpened = false
    package internal(set) var window: Window
    /// Up to where each lane has been sent or passed over.
    package internal(set) var reached = Positions()
    /// Up to where the client has acked; with explicit acks, what precedes the messages in flight.
    var ackedBase = Positions()
    /// Largest offset sent, per lane; may be beyond ``reached`` by a collapse.
    var sentHigh = Positions()
    /// At or before this a message may have been sent by an earlier session.
    var suspect = Positions()
    package internal(set) var nextSeq: UInt64 = 1
    /// RAMEN: numbers below it may be used.
    var seqEnd: UInt64 = .max
    /// First number of this session.
    var firstSeq: UInt64 = 1
    /// Explicit acks: what was sent and not acked, by seq.
    var inFlight: [InFlight] = []
    /// Acked while the session was opening: a cursor's positions, and a RAMEN number.
    var ackedEarly = Positions()
    var seqAckedEarly: UInt64 = 0
    /// Explicit acks: gaps whose notice the client may not have got.
    var unackedGaps: [UnackedGap] = []
    var marks = SeqMarks()
    var journal = SentJournal()
    /// Messages sent in an older one's place before their own was reached.
    var early: [Early] = []
    /// By priority: whether everything committed so far has been sent.
    var caughtUp: InlineArray<3, Bool> = .init(repeating: false)
    /// By priority: the largest offset that was announced and not sent.
    var missed: InlineArray<3, UInt64> = .init(repeating: 0)
    var isReading = false
    /// The last read brought nothing that fits: no use in reading before the window opens.
    var waitsForRoom = false
    /// Room opened since the read under way was asked for: what it found too large may fit now.
    var roomGrew = false
    /// Offsets that a read in flight may return though they may not be sent any more.
    var invalidated: [UInt64] = []
    var isDirty = false
    var ackedAt: Int64 = 0
    var recordedAcked = Positions()
    /// Lanes in which something was acked since the last update, one bit each.
    var ackedLanes: UInt16 = 0

    /// How many offsets are remembered as sent early; beyond it a collapsed message waits for its own place.
    static let earlyLimit = 256
    /// How many invalidated offsets are remembered during a read; beyond it the read is done again.
    static let invalidatedLimit = 64

    struct InFlight: Sendable {
        var seq: UInt64
        var lane: Lane
        /// The place in the lane that it was sent for.
        var place: UInt64
        var bytes: Int32
    }

    struct Early: Sendable {
        var lane: Lane
        var offset: UInt64
    }

    struct UnackedGap: Sendable {
        var lane: Lane
        /// Where the lane stood before it, and what it reaches to.
        var from: UInt64
        var to: UInt64
        /// The first number sent after the notice.
        var seq: UInt64
    }

    /// - Parameters:
    ///   - tag: random; 0 is taken as 1.
    ///   - epoch: of the store.
    package init(_ hello: Hello, tag: UInt32, epoch: UInt32) {
        self.app = hello.app
        self.user = hello.user
        self.device = hello.device
        self.ackMode = hello.ackMode
        self.isRamen = hello.ramenSeq != nil
        self.tag = max(1, tag)
        self.window = Window(messages: hello.windowMessages, bytes: hello.windowBytes, hasShares: !hello.isPoll)
        self.identity = CursorIdentity(epoch: epoch, app: hello.app, user: hello.user, device: hello.device)
    }

    package var isLive: Bool { self.phase == .live }
    package var isClosed: Bool { self.phase == .closed }

    /// The place after everything sent so far.
    package var cursor: Cursor { self.identity.cursor(tag: self.tag, at: self.reached) }

    /// The session begins.
    ///
    /// - Parameters:
    ///   - record: the device's; nil for an ephemeral one.
    ///   - end: the end of the log for an ephemeral device; otherwise the record's counts.
    ///   - at: Unix time in milliseconds.
    /// - Returns: what the client must be told is missing.
    /// - Throws: `seq_unknown` if a RAMEN number was never given out.
    package mutating func opened(
        _ record: DeviceRecord?, cursor: Cursor?, ramenSeq: UInt64?, end: UInt64, at: Int64
    ) throws(WireError) -> [GapNotice] {
        guard self.phase == .opening else { return [] }
        var gaps: [GapNotice] = []
        if let record {
            self.reached = record.acked
            self.recordedAcked = record.acked
            self.suspect = record.suspect
            self.sentHigh = record.acked
            if self.isRamen {
                self.nextSeq = record.nextSeq
                self.seqEnd = record.seqEnd
                self.marks = SeqMarks(record.marks)
            }
            self.firstSeq = self.nextSeq
            if let ramenSeq, ramenSeq > 0 {
                guard ramenSeq < self.nextSeq else { throw Self.seqUnknown(ramenSeq) }
                if let positions = self.marks.acked(ramenSeq) { self.advanceAcked(to: positions, at: at) }
            }
            if self.seqAckedEarly < self.nextSeq, let positions = self.marks.acked(self.seqAckedEarly) {
                self.advanceAcked(to: positions, at: at)
            }
            self.advanceAcked(to: self.ackedEarly, at: at)
            if let cursor {
                let valid = self.identity.validPositions(of: cursor, end: record.end)
                self.advanceAcked(to: valid.positions, at: at)
                gaps = valid.gaps
            }
            self.ackedBase.advance(to: self.reached)
        } else {
            self.reached = Positions(all: end)
            if let cursor {
                let valid = self.identity.accept(cursor, end: end)
                for scope in valid.scopes { self.reached.set(scope, from: cursor.positions) }
                if !valid.scopes.isEmpty { self.suspect = Positions(all: end) }
                gaps = valid.gaps
            }
        }
        self.phase = .live
        self.isOpened = true
        return gaps
    }

    private mutating func advanceAcked(to positions: Positions, at: Int64) {
        var advanced = self.reached
        advanced.advance(to: positions)
        if advanced != self.reached {
            for lane in Lane.all where advanced[lane] > self.reached[lane] { self.ackedLanes |= Self.bit(lane) }
            self.reached = advanced
            self.isDirty = true
            self.ackedAt = at
        }
    }

    static func bit(_ lane: Lane) -> UInt16 { UInt16(1) << UInt16(lane.index) }

    static func seqUnknown(_ seq: UInt64) -> WireError {
        WireError(.seqUnknown, "Sequence number \(seq) was never sent to this device.")
    }

    /// The connection is gone, was taken over or refused.
    package mutating func closed() { self.phase = .closed }

    /// The client was told to come back elsewhere or later.
    package mutating func drained() {
        if self.phase != .closed { self.phase = .draining }
    }

    // MARK: What the store is to be told

    /// Whether ``takeUpdate(at:)`` has something to say.
    package var hasUpdate: Bool { self.isDirty && self.device != nil }

    /// What changed since the last call, for the store; nil if nothing did or the device is ephemeral.
    ///
    /// - Parameter at: Unix time in milliseconds.
    package mutating func takeUpdate(at: Int64) -> DeviceUpdate? {
        guard self.isDirty, let device = self.device else { return nil }
        self.isDirty = false
        let acked = self.acked
        var journal = self.journal.take()
        for lane in Lane.all where acked[lane] > self.recordedAcked[lane] {
            // A lane that was only found empty up to here has delivered nothing.
            guard self.ackedLanes & Self.bit(lane) != 0 else { continue }
            self.ackedLanes &= ~Self.bit(lane)
            journal.append(
                .init(kind: .delivered, lane: lane, from: self.recordedAcked[lane] + 1, to: acked[lane], at: self.ackedAt))
        }
        self.recordedAcked = acked
        let knowsMarks = self.isRamen && self.isOpened
        return DeviceUpdate(
            device: DeviceKey(app: self.app, name: device), user: self.user, acked: acked, sent: self.sentHigh,
            journal: journal, nextSeq: knowsMarks ? self.nextSeq : 0, marks: knowsMarks ? self.marks.marks : nil, at: at)
    }

    /// How far the client has acked: in each lane, everything before the first message in flight, and before a gap
    /// until something sent after its notice was acked.
    package var acked: Positions {
        guard self.isOpened else { return self.ackedEarly }
        guard self.ackMode == .explicit else { return self.ackedBase }
        var positions = self.reached
        for entry in self.inFlight.reversed() { positions[entry.lane] = entry.place - 1 }
        for gap in self.unackedGaps { positions[gap.lane] = min(positions[gap.lane], gap.from) }
        return positions
    }
}
