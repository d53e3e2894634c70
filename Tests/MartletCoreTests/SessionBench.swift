import MartletCore
import MartletWire

/// A session of alice's phone with small limits, and what is needed to drive it by hand.
final class SessionBench {
    static let app = AppID.dev
    var session: Session
    var now: Int64 = 1_000
    var at: Int64 = 50_000

    /// - Parameters:
    ///   - acked: what the store has recorded.
    ///   - end: the end of the log; the session is caught up to it unless `isCaughtUp` is false.
    init(
        mode: AckMode = .explicit, window: Int = 4, bytes: Int = 4_000, acked: UInt64 = 0, suspect: UInt64 = 0,
        end: UInt64 = 0, isCaughtUp: Bool = true, ramen: UInt64? = nil, seqEnd: UInt64 = 100
    ) throws {
        var hello = Self.hello(mode: mode, window: window, bytes: bytes)
        hello.ramenSeq = ramen
        self.session = Session(hello, tag: 7, epoch: 1)
        let record = DeviceRecord(
            isNew: false, acked: Positions(all: acked), suspect: Positions(all: suspect), end: end, seqEnd: seqEnd)
        _ = try self.session.opened(record, cursor: nil, ramenSeq: ramen, end: end, at: self.at)
        if isCaughtUp { _ = self.read([], end: end) }
    }

    static func hello(mode: AckMode = .explicit, window: Int = 4, bytes: Int = 4_000, user: String? = "alice") -> Hello {
        var hello = Hello(app: self.app, user: user, device: "phone", ackMode: mode, limits: Limits())
        hello.windowMessages = window
        hello.windowBytes = bytes
        return hello
    }

    func message(
        _ offset: UInt64, _ priority: Priority = .medium, bytes: Int = 10, key: String? = nil, expiresAt: Int64 = .max,
        liveOnly: Bool = false
    ) -> StoredMessage {
        StoredMessage(
            id: MessageID(high: offset, low: offset), offset: offset, priority: priority, at: 0, expiresAt: expiresAt,
            collapseKey: key, liveOnly: liveOnly, fragment: [UInt8](repeating: 0x20, count: bytes))
    }

    /// A commit to alice's inbox.
    ///
    /// - Returns: the offset sent at once; nil if it waits.
    func commit(_ message: StoredMessage, superseded: UInt64? = nil, scope: Scope = .user) -> Delivery? {
        switch self.session.committed(message, scope: scope, superseded: superseded, now: self.now, at: self.at) {
        case .send(let delivery): delivery
        case .wait: nil
        }
    }

    func entry(_ message: StoredMessage, place: UInt64? = nil, scope: Scope = .user) -> LogEntry {
        LogEntry(lane: Lane(scope, message.priority), offset: place ?? message.offset, content: .message(message))
    }

    func skipped(_ place: UInt64, _ priority: Priority = .medium) -> LogEntry {
        LogEntry(lane: Lane(.user, priority), offset: place, content: .skipped)
    }

    /// Asks for a read, and answers it.
    func read(
        _ entries: [LogEntry], gaps: [LogGap] = [], more: [Bool] = [false, false, false], end: UInt64
    ) -> OnReadDone {
        guard self.session.nextRead(now: self.now) != nil else { return .nothing }
        return self.finishRead(entries, gaps: gaps, more: more, end: end)
    }

    func finishRead(
        _ entries: [LogEntry], gaps: [LogGap] = [], more: [Bool] = [false, false, false], end: UInt64
    ) -> OnReadDone {
        self.session.readDone(
            ReadResult(entries: entries, gaps: gaps, more: more, end: end), now: self.now, at: self.at)
    }

    func nextRead() -> ReadRequest? { self.session.nextRead(now: self.now) }

    func wantsToRead() -> Bool { self.nextRead() != nil }

    func ack(_ seqs: UInt64...) throws { try self.session.acked(.each(seqs), at: self.at) }

    func update() -> DeviceUpdate? { self.session.takeUpdate(at: self.at) }
}

extension OnReadDone {
    /// What a read of a session that is not open brings.
    static var nothing: OnReadDone {
        var session = Session(SessionBench.hello(), tag: 1, epoch: 1)
        return session.readDone(ReadResult(entries: [], gaps: [], more: [false, false, false], end: 0), now: 0, at: 0)
    }

    var offsets: [UInt64] { self.deliveries.map(\.message.offset) }
}

extension Lane {
    static let userHigh = Lane(.user, .high)
    static let userMedium = Lane(.user, .medium)
    static let userLow = Lane(.user, .low)
}
