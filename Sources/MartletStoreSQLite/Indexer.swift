import MartletCore

/// Writes the index (`entry` and `expiry`) behind the log, in bulk and sorted, so that a commit touches few pages.
///
/// New items wait; a batch of them is frozen, sorted by inbox and written in slices that other commits carry. With its
/// last slice `meta.indexed` moves, and the memtable forgets it. After a crash, what lies after `meta.indexed` is read
/// again.
struct Indexer {
    struct Item {
        var message: StoredMessage
        var inboxes: [Int64]
    }

    struct Entry {
        var lane: LaneKey
        var offset: UInt64
        var size: Int
        var expires: Int64
    }

    struct Expiry {
        var at: Int64
        var offset: UInt64
        var stage: Int64
    }

    struct Batch {
        var items: [Item]
        var entries: [Entry]
        var expiries: [Expiry]
        var upTo: UInt64
        /// Rows of `entries`, then of `expiries`, that have been committed.
        var written = 0
        var rows: Int { self.entries.count + self.expiries.count }
    }

    private(set) var waiting: [Item] = []
    private(set) var waitingEntries = 0
    private(set) var waitingBytes = 0
    var batch: Batch?
    /// What has left its inbox since the batch was frozen: lanes up to an offset, and single entries.
    private var floors: [LaneKey: UInt64] = [:]
    private var skips: [UInt64: Set<LaneKey>] = [:]

    mutating func add(_ item: Item) {
        self.waiting.append(item)
        self.waitingEntries += item.inboxes.count
        self.waitingBytes += item.message.weight
    }

    var isEmpty: Bool { self.waiting.isEmpty && self.batch == nil }

    /// Freezes what waits into a batch, if there is none.
    mutating func freeze(_ memtable: borrowing Memtable, reportMs: Int64) {
        guard self.batch == nil, let last = self.waiting.last else { return }
        var entries: [Entry] = []
        entries.reserveCapacity(self.waitingEntries)
        var expiries: [Expiry] = []
        expiries.reserveCapacity(self.waiting.count)
        for item in self.waiting {
            let message = item.message
            if message.liveOnly {
                expiries.append(Expiry(at: message.expiresAt + reportMs, offset: message.offset, stage: 1))
                continue
            }
            expiries.append(Expiry(at: message.expiresAt, offset: message.offset, stage: 0))
            for inbox in item.inboxes {
                let lane = LaneKey(inbox, message.priority)
                guard memtable.contains(lane, message.offset) else { continue }
                entries.append(
                    Entry(lane: lane, offset: message.offset, size: message.weight, expires: message.expiresAt))
            }
        }
        entries.sort { ($0.lane.rawValue, $0.offset) < ($1.lane.rawValue, $1.offset) }
        expiries.sort { ($0.at, $0.offset) < ($1.at, $1.offset) }
        self.batch = Batch(items: self.waiting, entries: entries, expiries: expiries, upTo: last.message.offset)
        self.waiting = []
        self.waitingEntries = 0
        self.waitingBytes = 0
    }

    /// The batch is on disk.
    mutating func finish() {
        self.batch = nil
        self.floors = [:]
        self.skips = [:]
    }

    mutating func left(_ lane: LaneKey, upTo offset: UInt64) {
        if self.batch != nil { self.floors[lane] = max(self.floors[lane] ?? 0, offset) }
    }

    mutating func left(_ lane: LaneKey, _ offset: UInt64) {
        if self.batch != nil { self.skips[offset, default: []].insert(lane) }
    }

    func hasLeft(_ entry: Entry) -> Bool {
        if let floor = self.floors[entry.lane], floor >= entry.offset { return true }
        return self.skips[entry.offset]?.contains(entry.lane) ?? false
    }
}
