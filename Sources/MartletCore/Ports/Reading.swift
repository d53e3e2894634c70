/// Asks a store for what a device has pending.
package struct ReadRequest: Equatable, Sendable {
    package var app: AppID
    /// The device's user; nil if none.
    package var user: String?
    /// The device; nil if ephemeral.
    package var device: String?
    /// Only what is after these offsets.
    package var after: Positions
    /// Messages that may be returned, in total.
    package var messages: Int
    /// Of these, how many may be `medium` or `low`.
    package var mediumAndLow: Int
    /// Of these, how many may be `low`.
    package var low: Int
    /// Bytes that may be returned, in total, and the parts of it that `medium` and `low`, and `low` alone, may take.
    package var bytes: Int
    package var mediumAndLowBytes: Int
    package var lowBytes: Int
    /// Whether the first message may be larger than its bytes (nothing else is in flight).
    package var oversizeFirst: Bool
    /// The server's clock, in milliseconds: what has expired by then is left out.
    package var now: Int64

    package init(
        app: AppID, user: String?, device: String?, after: Positions, messages: Int, mediumAndLow: Int, low: Int,
        bytes: Int, mediumAndLowBytes: Int, lowBytes: Int, oversizeFirst: Bool, now: Int64
    ) {
        self.app = app
        self.user = user
        self.device = device
        self.after = after
        self.messages = messages
        self.mediumAndLow = mediumAndLow
        self.low = low
        self.bytes = bytes
        self.mediumAndLowBytes = mediumAndLowBytes
        self.lowBytes = lowBytes
        self.oversizeFirst = oversizeFirst
        self.now = now
    }

    /// The inbox of a scope; nil if the reader has none.
    package func inbox(_ scope: Scope) -> InboxKey? {
        switch scope {
        case .user: self.user.map { .user($0, in: self.app) }
        case .device: self.device.map { .device($0, in: self.app) }
        case .app: .everyone(in: self.app)
        }
    }
}

/// One place of a lane.
///
/// **Collapse.** A place whose message has been replaced by a newer one with its collapse key in the same inbox is
/// returned as `.message` with the newest one's message if that is in the same lane (it takes the older one's place;
/// `message.offset > offset` then), and as `.skipped` if it is in another lane, has expired or was recalled.
package struct LogEntry: Sendable {
    package var lane: Lane
    package var offset: UInt64
    package var content: Content

    package enum Content: Sendable {
        case message(StoredMessage)
        /// Collapsed into something that is not sent here. Costs nothing in the window.
        case skipped
    }

    package init(lane: Lane, offset: UInt64, content: Content) {
        self.lane = lane
        self.offset = offset
        self.content = content
    }
}

/// Messages of a lane that are gone because the inbox was full.
package struct LogGap: Equatable, Sendable {
    package var lane: Lane
    /// Gone is what lies after `from` up to and with `to`.
    package var from: UInt64
    package var to: UInt64

    package init(lane: Lane, from: UInt64, to: UInt64) {
        self.lane = lane
        self.from = from
        self.to = to
    }
}

/// What a store found pending, as of one moment.
package struct ReadResult: Sendable {
    /// By priority, then by offset. Expired, recalled and trimmed messages are left out. `medium` and `low` only if no
    /// `high` is left over, `low` only if no `medium` is.
    package var entries: [LogEntry]
    /// What the inbox limit took since `after`, for each lane it took from.
    package var gaps: [LogGap]
    /// By priority: whether there is more than was returned.
    package var more: [Bool]
    /// The offset up to which the snapshot knows everything.
    package var end: UInt64

    package init(entries: [LogEntry], gaps: [LogGap], more: [Bool], end: UInt64) {
        self.entries = entries
        self.gaps = gaps
        self.more = more
        self.end = end
    }
}
