import MartletCore

/// Writes the index (`entry` and `expiry`) behind the log, in bulk and sorted, so that a commit touches few pages.
///
/// New items wait; a batch of them is frozen, sorted by inbox and written in slices that other commits carry. With its
/// last slice `meta.indexed` moves, and the memtable forgets it. After a crash, what lies after `meta.indexed` is read
/// again.
struct Indexer {
    struct Item {
        var message: StoredMessage
        var inboxes: [Int64] = []
        /// Of a topic's message.
        var placing: TopicPlacing?
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

    struct TopicEntry {
        var topic: Int64
        var offset: UInt64
        var size: Int
        var born: Int64
        var expires: Int64
        var due: Int64
    }

    /// Its rows are written in this order. What a topic lost has to be in its row before the messages that said so are deleted.
    struct Batch {
        var items: [Item]
        var entries: [Entry]
        var topicEntries: [TopicEntry] = []
        var expiries: [Expiry]
        /// By the topic's id.
        var states: [(topic: Int64, state: TopicState)] = []
        /// Messages of topics that are not kept any more.
        var dead: [(offset: UInt64, topic: Int64, expires: Int64)] = []
        var upTo: UInt64
        /// Rows that have been committed.
        var written = 0
        var rows: Int { self.entries.count + self.topicEntries.count + self.expiries.count + self.states.count + self.dead.count }
    }

    /// A message with no one to report on is forgotten so long after its publish, in milliseconds.
    static let liveTopicMs: Int64 = 60_000

    private(set) var waiting: [Item] = []
    private(set) var waitingEntries = 0
    private(set) var waitingBytes = 0
    var batch: Batch?
    /// What has left its inbox since the batch was frozen: lanes up to an offset, and single entries.
    private var floors: [LaneKey: UInt64] = [:]
    private var skips: [UInt64: Set<LaneKey>] = [:]
    private var recalled: Set<UInt64> = []

    mutating func add(_ item: Item) {
        self.waiting.append(item)
        self.waitingEntries += max(1, item.inboxes.count)
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
        var topics = TopicRows()
        for item in self.waiting {
            let message = item.message
            if let placing = item.placing {
                topics.add(message, placing, memtable, &expiries)
                continue
            }
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
        topics.sort()
        self.batch = Batch(
            items: self.waiting, entries: entries, topicEntries: topics.entries, expiries: expiries, states: topics.states,
            dead: topics.dead, upTo: last.message.offset)
        self.waiting = []
        self.waitingEntries = 0
        self.waitingBytes = 0
    }

    /// The batch is on disk.
    mutating func finish() {
        self.batch = nil
        self.floors = [:]
        self.skips = [:]
        self.recalled = []
    }

    /// A topic's message was taken back.
    mutating func left(topicMessage offset: UInt64) {
        if self.batch != nil { self.recalled.insert(offset) }
    }

    func hasLeft(_ entry: TopicEntry) -> Bool { self.recalled.contains(entry.offset) }

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

/// What a batch writes of topics.
private struct TopicRows {
    var entries: [Indexer.TopicEntry] = []
    var states: [(topic: Int64, state: TopicState)] = []
    var dead: [(offset: UInt64, topic: Int64, expires: Int64)] = []
    private var seen: Set<Int64> = []

    mutating func add(
        _ message: StoredMessage, _ placing: TopicPlacing, _ memtable: borrowing Memtable, _ expiries: inout [Indexer.Expiry]
    ) {
        let topic = placing.topic
        let state = memtable.topics[topic]?.state ?? placing.state
        if self.seen.insert(topic).inserted { self.states.append((topic, state)) }
        if message.liveOnly {
            expiries.append(.init(at: message.expiresAt + Indexer.liveTopicMs, offset: message.offset, stage: 1))
        } else if memtable.contains(topic: topic, message.offset) {
            let due = state.due(placing.born, message.expiresAt)
            self.entries.append(
                .init(
                    topic: topic, offset: message.offset, size: message.weight, born: placing.born, expires: message.expiresAt,
                    due: due))
            expiries.append(.init(at: due, offset: message.offset, stage: 0))
        } else if memtable.isRecalled(message.offset) {
            // The row tells who asks about it, until it expires.
            expiries.append(.init(at: message.expiresAt, offset: message.offset, stage: 0))
        } else {
            self.dead.append((message.offset, topic, message.expiresAt))
        }
    }

    mutating func sort() {
        self.entries.sort { ($0.topic, $0.offset) < ($1.topic, $1.offset) }
        self.states.sort { $0.topic < $1.topic }
    }
}
