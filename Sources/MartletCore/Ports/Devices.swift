/// Says that a device connects.
package struct DeviceOpening: Equatable, Sendable {
    package var device: DeviceKey
    /// The user it says it belongs to; nil for none.
    package var user: String?
    /// Whether a device seen for the first time starts after everything that is already stored.
    package var fromNow: Bool
    /// Sequence numbers to reserve with it (RAMEN); 0 for none.
    package var reserve: UInt64
    /// Unix time in milliseconds, for "last seen".
    package var at: Int64

    package init(device: DeviceKey, user: String?, fromNow: Bool, reserve: UInt64 = 0, at: Int64) {
        self.device = device
        self.user = user
        self.fromNow = fromNow
        self.reserve = reserve
        self.at = at
    }
}

/// What a store knows of a device.
package struct DeviceRecord: Equatable, Sendable {
    /// Whether this opening created it.
    package var isNew: Bool
    /// Whether the device belonged to another user (or none) before this opening. Its user lanes then start at 0.
    package var userChanged: Bool
    /// How far it has acked.
    package var acked: Positions
    /// Up to where, per lane, a message may have been sent to it before: what is at or before is `redelivered`. All 0 when
    /// new. Everything up to the last unclean stop if the record is older than that; the end of the log in the user's
    /// lanes if the user changed.
    package var suspect: Positions
    /// The end of the log at the opening.
    package var end: UInt64
    /// The next sequence number to use (RAMEN), from 1, and the end of the reserved block (exclusive).
    package var nextSeq: UInt64
    package var seqEnd: UInt64
    /// Which positions recently sent sequence numbers stand for, oldest first. Those of another user's are 0 in the user's
    /// lanes: they say nothing of this user's inbox.
    package var marks: [SeqMark]

    package init(
        isNew: Bool, userChanged: Bool = false, acked: Positions, suspect: Positions, end: UInt64,
        nextSeq: UInt64 = 1, seqEnd: UInt64 = 1, marks: [SeqMark] = []
    ) {
        self.isNew = isNew
        self.userChanged = userChanged
        self.acked = acked
        self.suspect = suspect
        self.end = end
        self.nextSeq = nextSeq
        self.seqEnd = seqEnd
        self.marks = marks
    }
}

/// A sequence number of a RAMEN session and the positions after its message.
package struct SeqMark: Equatable, Sendable {
    package var seq: UInt64
    package var positions: Positions

    package init(seq: UInt64, positions: Positions) {
        self.seq = seq
        self.positions = positions
    }
}

/// Messages of one lane that were sent, or acked, within a short time.
package struct JournalRange: Equatable, Sendable {
    package enum Kind: UInt8, Sendable {
        case sent = 0
        case delivered = 1
    }

    package var kind: Kind
    package var lane: Lane
    /// The offset of the first and of the last one, both included. For `delivered`: after the previous position.
    package var from: UInt64
    package var to: UInt64
    /// When the last of them happened: Unix time in milliseconds.
    package var at: Int64

    package init(kind: Kind, lane: Lane, from: UInt64, to: UInt64, at: Int64) {
        self.kind = kind
        self.lane = lane
        self.from = from
        self.to = to
        self.at = at
    }
}

/// What a session has to tell the store about its device.
package struct DeviceUpdate: Equatable, Sendable {
    package var device: DeviceKey
    /// The user that the positions of the user's lanes are for.
    package var user: String?
    package var acked: Positions
    /// The largest offset sent, per lane.
    package var sent: Positions
    package var journal: [JournalRange]
    /// The next sequence number (RAMEN); 0 leaves it as it is.
    package var nextSeq: UInt64
    /// Replaces the recorded marks; nil leaves them.
    package var marks: [SeqMark]?
    /// Unix time in milliseconds, for "last seen".
    package var at: Int64

    package init(
        device: DeviceKey, user: String?, acked: Positions, sent: Positions, journal: [JournalRange] = [],
        nextSeq: UInt64 = 0, marks: [SeqMark]? = nil, at: Int64
    ) {
        self.device = device
        self.user = user
        self.acked = acked
        self.sent = sent
        self.journal = journal
        self.nextSeq = nextSeq
        self.marks = marks
        self.at = at
    }
}
