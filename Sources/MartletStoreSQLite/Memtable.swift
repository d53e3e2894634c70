import MartletCore

/// Names one lane of one inbox: the inbox's id and the priority.
struct LaneKey: Hashable {
    let rawValue: Int64

    init(_ inbox: Int64, _ priority: Priority) { self.rawValue = inbox << 2 | Int64(priority.rawValue) }

    var inbox: Int64 { self.rawValue >> 2 }
    var priority: Priority { Priority(rawValue: UInt8(self.rawValue & 3)) ?? .low }
}

/// The newest messages, which the index on disk does not hold yet, by inbox and lane.
struct Memtable {
    /// The newest offset that was, or is about to be, announced.
    var end: UInt64
    /// Up to here the index on disk knows everything.
    var indexed: UInt64
    /// Each in order of offsets, all after ``indexed``.
    private(set) var lanes: [LaneKey: [StoredMessage]] = [:]
    /// By the topic's id: those with unindexed messages.
    var topics: [Int64: TopicLane] = [:]
    private var recalled: Set<UInt64> = []

    init(end: UInt64, indexed: UInt64) {
        self.end = end
        self.indexed = indexed
    }

    mutating func insert(_ item: Indexer.Item) {
        if let placing = item.placing { self.insert(item.message, placing) } else { self.insert(item.message, into: item.inboxes) }
    }

    private mutating func insert(_ message: StoredMessage, into inboxes: [Int64]) {
        guard !message.liveOnly else { return }
        for inbox in inboxes { self.lanes[LaneKey(inbox, message.priority), default: []].append(message) }
    }

    mutating func recall(_ offset: UInt64) {
        if offset > self.indexed { self.recalled.insert(offset) }
    }

    func isRecalled(_ offset: UInt64) -> Bool { self.recalled.contains(offset) }

    /// Forgets a lane's messages up to an offset.
    mutating func drop(_ lane: LaneKey, upTo offset: UInt64) {
        guard let index = self.lanes.index(forKey: lane) else { return }
        let count = self.lanes.values[index].firstIndex(after: offset)
        if count == self.lanes.values[index].count {
            self.lanes.remove(at: index)
        } else if count > 0 {
            self.lanes.values[index].removeFirst(count)
        }
    }

    /// Forgets what has expired in a lane.
    ///
    /// - Returns: what was forgotten.
    mutating func dropExpired(_ lane: LaneKey, at now: Int64) -> [StoredMessage] {
        guard let messages = self.lanes[lane] else { return [] }
        let expired = messages.filter { $0.isExpired(at: now) }
        if !expired.isEmpty { self.lanes[lane] = messages.filter { !$0.isExpired(at: now) } }
        return expired
    }

    func contains(_ lane: LaneKey, _ offset: UInt64) -> Bool {
        guard let messages = self.lanes[lane], offset > 0 else { return false }
        let index = messages.firstIndex(after: offset - 1)
        return index < messages.count && messages[index].offset == offset
    }

    /// The messages of a lane after an offset, at most `limit`, and whether there are more.
    func messages(_ lane: LaneKey, after offset: UInt64, limit: Int) -> (found: ArraySlice<StoredMessage>, more: Bool) {
        guard let messages = self.lanes[lane] else { return ([], false) }
        let start = messages.firstIndex(after: offset)
        let stop = min(messages.count, start + limit)
        return (ArraySlice(Array(messages[start..<stop])), stop < messages.count)
    }

    /// Takes note that the index on disk holds everything up to an offset.
    mutating func prune(_ items: [Indexer.Item], upTo offset: UInt64) {
        self.indexed = offset
        for item in items {
            if let topic = item.placing?.topic { self.prune(topic, upTo: offset) }
            guard !item.message.liveOnly else { continue }
            for inbox in item.inboxes { self.drop(LaneKey(inbox, item.message.priority), upTo: offset) }
        }
        self.recalled = self.recalled.filter { $0 > offset }
    }
}

extension [StoredMessage] {
    /// The index of the first one after an offset.
    func firstIndex(after offset: UInt64) -> Int {
        guard let first, first.offset <= offset else { return 0 }
        var low = 0
        var high = self.count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].offset <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
