import MartletCore
import MartletWire

/// What a crash leaves behind: the durable part of a ``MemoryLogStore``. Opened by one store at a time.
package final class MemoryDisk: @unchecked Sendable {
    var tables = MemoryTables()

    package init() {}

    /// Lets the next start begin a new history, as after a restored backup.
    package func beginNewEpoch() { self.tables.epoch &+= 1 }
}

/// Everything that a store keeps.
struct MemoryTables {
    var epoch: UInt32 = 1
    /// Each start has a number; the devices' rows say in which they were written.
    var run: UInt64 = 0
    var isClean = true
    /// The last run that did not end cleanly, and the end of the log then.
    var uncleanRun: UInt64 = 0
    var uncleanEnd: UInt64 = 0
    /// Offset of the newest message or recall.
    var end: UInt64 = 0
    var lastID = (milliseconds: Int64(0), counter: UInt16(0))
    var rows: [UInt64: MessageRow] = [:]
    var offsets: [MessageID: UInt64] = [:]
    var inboxes: [InboxKey: MemoryInbox] = [:]
    var topics: [TopicKey: MemoryTopic] = [:]
    var keys: [KeyName: KeyRow] = [:]
    var devices: [DeviceKey: DeviceRow] = [:]
    var sessions: [DeviceKey: SessionRow] = [:]

    struct KeyName: Hashable {
        var app: AppID
        var key: ExactText

        init(app: AppID, key: String) {
            self.app = app
            self.key = ExactText(key)
        }
    }

    struct KeyRow {
        var digest: [UInt8]
        var id: MessageID
        var expiresAt: Int64
    }

    /// Forgets the oldest idempotency keys of an app above the limit, but not the one that was just added.
    mutating func dropOldestKeys(of app: AppID, limit: Int, but added: KeyName) {
        guard self.keys.count > limit else { return }
        let own = self.keys.filter { $0.key.app == app }
        let oldest = own.filter { $0.key != added }.sorted { $0.value.expiresAt < $1.value.expiresAt }
        for (name, _) in oldest.prefix(max(0, own.count - limit)) { self.keys[name] = nil }
    }

    /// The next id; they grow whatever the wall clock does.
    mutating func nextID(wall: Int64) -> MessageID {
        if wall > self.lastID.milliseconds {
            self.lastID = (wall, 0)
        } else if self.lastID.counter == 0x0fff {
            self.lastID = (self.lastID.milliseconds + 1, 0)
        } else {
            self.lastID.counter += 1
        }
        return MessageID(
            milliseconds: self.lastID.milliseconds, counter: self.lastID.counter,
            random: (self.end + 1) &* 0x9e37_79b9_7f4a_7c15)
    }
}

struct MessageRow {
    var message: StoredMessage
    var app: AppID
    var targets: [InboxKey]
    var topic: TopicKey?
    /// When it was stored, by the server's clock in milliseconds.
    var born: Int64
    var recalledAt: Int64?
    /// Inboxes that pushed it out because they were full.
    var trimmedFrom: Set<InboxKey> = []
    /// When a newer message took its collapse key: wall clock in milliseconds, by inbox.
    var collapsedAt: [InboxKey: Int64] = [:]

    func isAlive(at now: Int64) -> Bool {
        self.recalledAt == nil && !self.message.liveOnly && !self.message.isExpired(at: now)
    }
}

struct DeviceRow {
    var user: String?
    /// By the server's clock, in milliseconds.
    var firstSeen: Int64
    var acked: Positions
    /// Up to where, per lane, something may have been sent.
    var sent: Positions
    var run: UInt64
    var nextSeq: UInt64 = 1
    var seqEnd: UInt64 = 1
    var marks: [SeqMark] = []
    var journal: [JournalRange] = []

    /// Forgets what concerns the user's inbox: it is another one now.
    mutating func changeUser(to user: String?, end: UInt64) {
        self.user = user
        self.acked.set(.user, to: 0)
        self.sent.set(.user, to: end)
        self.journal.removeAll { $0.lane.scope == .user }
        for index in self.marks.indices { self.marks[index].positions.set(.user, to: 0) }
    }

    /// Makes up for what was not written before an unclean stop.
    mutating func catchUp(_ tables: MemoryTables) {
        guard self.run <= tables.uncleanRun else { return }
        self.sent.advance(to: Positions(all: tables.uncleanEnd))
        self.nextSeq = self.seqEnd
        self.run = tables.run
    }

    mutating func take(_ update: DeviceUpdate, _ tables: MemoryTables) {
        self.catchUp(tables)
        let isSameUser = isSameName(update.user, self.user)
        for lane in Lane.all where isSameUser || lane.scope != .user {
            self.acked.advance(lane, to: update.acked[lane])
            self.sent.advance(lane, to: update.sent[lane])
        }
        self.journal += update.journal.filter { isSameUser || $0.lane.scope != .user }
        self.nextSeq = max(self.nextSeq, update.nextSeq)
        if var marks = update.marks {
            if !isSameUser { for index in marks.indices { marks[index].positions.set(.user, to: 0) } }
            self.marks = marks
        }
        self.run = tables.run
    }
}

/// One inbox: three lanes of offsets, oldest first.
struct MemoryInbox {
    var lanes: [[UInt64]] = [[], [], []]
    /// The newest message of each collapse key.
    var newest: [ExactText: UInt64] = [:]
    /// Per lane: the largest offset that the limit took while somebody might still have wanted it.
    var trimmedTo: [UInt64] = [0, 0, 0]
    var bytes = 0

    var count: Int { self.lanes[0].count + self.lanes[1].count + self.lanes[2].count }

    /// Index of the first place after an offset.
    func firstIndex(after offset: UInt64, priority: Int) -> Int {
        let lane = self.lanes[priority]
        var low = 0
        var high = lane.count
        while low < high {
            let middle = (low + high) / 2
            if lane[middle] <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
