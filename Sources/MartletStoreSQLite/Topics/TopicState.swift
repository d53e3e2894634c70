import MartletCore

/// What a topic keeps, as of one commit.
struct TopicState: Equatable {
    /// As the append with this offset said.
    var keep: TopicAppend.Keep
    var asOf: UInt64
    /// Nothing up to here is kept any more.
    var upTo: UInt64
    /// The largest offset that went for ``keep``, not by its own expiry or a recall: what comes after an older one is a gap.
    var lost: UInt64

    /// Takes over what is newer in another state of the same topic.
    mutating func merge(_ other: TopicState) {
        if other.asOf > self.asOf {
            self.keep = other.keep
            self.asOf = other.asOf
        }
        self.upTo = max(self.upTo, other.upTo)
        self.lost = max(self.lost, other.lost)
    }

    mutating func cut(upTo offset: UInt64, isLost: Bool) {
        self.upTo = max(self.upTo, offset)
        if isLost { self.lost = max(self.lost, offset) }
    }

    /// When a message is too old to be kept, by the server's clock in milliseconds.
    func agedAt(_ born: Int64) -> Int64 { born + Int64(max(0, min(self.keep.seconds, 1 << 40))) * 1_000 }

    enum Fate {
        case kept
        /// Expired by itself, or counted already.
        case gone
        /// Went for its age.
        case lost
    }

    /// What is to be said of a message at a time, whenever it is looked at.
    func fate(_ offset: UInt64, _ born: Int64, _ expires: Int64, _ now: Int64) -> Fate {
        guard offset > self.upTo else { return .gone }
        let aged = self.agedAt(born)
        if aged <= now { return expires > aged ? .lost : .gone }
        return expires > now ? .kept : .gone
    }

    /// When a message has to be looked at: it expires, or becomes too old.
    func due(_ born: Int64, _ expires: Int64) -> Int64 { min(expires, self.agedAt(born)) }
}

extension Codec {
    static func encode(_ state: TopicState) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(24)
        for number in [state.keep.messages, state.keep.seconds, state.keep.bytes] { Varint.append(UInt64(max(0, number)), to: &bytes) }
        Varint.append(state.upTo, to: &bytes)
        Varint.append(state.lost, to: &bytes)
        return bytes
    }

    /// - Parameter offset: of the message that the state stands with.
    static func topicState(_ bytes: [UInt8], asOf offset: UInt64) -> TopicState? {
        var rest = bytes[...]
        guard let messages = Varint.read(&rest), let seconds = Varint.read(&rest), let size = Varint.read(&rest),
            let upTo = Varint.read(&rest), let lost = Varint.read(&rest)
        else { return nil }
        let keep = TopicAppend.Keep(messages: Int(clamping: messages), seconds: Int(clamping: seconds), bytes: Int(clamping: size))
        return TopicState(keep: keep, asOf: offset, upTo: upTo, lost: lost)
    }
}

/// The row of a topic.
enum TopicRow {
    static let columns = "id, messages, seconds, bytes, as_of, upto, lost"

    static func state(_ row: Statement) -> TopicState {
        let keep = TopicAppend.Keep(messages: Int(row.integer(1)), seconds: Int(row.integer(2)), bytes: Int(row.integer(3)))
        return TopicState(keep: keep, asOf: row.unsigned(4), upTo: row.unsigned(5), lost: row.unsigned(6))
    }
}

/// A message of a topic that the index on disk does not hold yet.
struct TopicPlacing {
    var app: AppID
    var topic: Int64
    /// When it was stored, by the server's clock in milliseconds.
    var born: Int64
    /// The topic's, after it.
    var state: TopicState
}

/// The newest messages of one topic, which the index on disk does not hold yet.
struct TopicLane {
    struct Item {
        var message: StoredMessage
        var born: Int64
    }

    let app: AppID
    /// In order of offsets: what is kept of them.
    var items: ArraySlice<Item> = []
    var state: TopicState
    /// The newest offset, kept or not.
    var last: UInt64

    mutating func cut() {
        let count = self.items.firstIndex(after: self.state.upTo)
        if count > 0 { self.items.removeFirst(count) }
    }
}

extension ArraySlice<TopicLane.Item> {
    /// How many are at or before an offset.
    func firstIndex(after offset: UInt64) -> Int {
        guard let first, first.message.offset <= offset else { return 0 }
        var low = 0
        var high = self.count
        while low < high {
            let middle = (low + high) / 2
            if self[self.startIndex + middle].message.offset <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension Memtable {
    mutating func insert(_ message: StoredMessage, _ placing: TopicPlacing) {
        var lane = self.topics.removeValue(forKey: placing.topic) ?? TopicLane(app: placing.app, state: placing.state, last: message.offset)
        lane.last = message.offset
        if !message.liveOnly { lane.items.append(.init(message: message, born: placing.born)) }
        lane.state.merge(placing.state)
        lane.cut()
        self.topics[placing.topic] = lane
    }

    /// Takes note of a topic's state; without unindexed messages its row says it.
    mutating func set(_ topic: Int64, _ state: TopicState) {
        guard var lane = self.topics.removeValue(forKey: topic) else { return }
        lane.state.merge(state)
        lane.cut()
        self.topics[topic] = lane
    }

    /// Forgets what a topic's index holds.
    mutating func prune(_ topic: Int64, upTo offset: UInt64) {
        guard var lane = self.topics.removeValue(forKey: topic), lane.last > offset else { return }
        let count = lane.items.firstIndex(after: offset)
        if count > 0 { lane.items.removeFirst(count) }
        self.topics[topic] = lane
    }

    /// Forgets one message of a topic, which was taken back.
    mutating func remove(_ topic: Int64, _ offset: UInt64) {
        guard var lane = self.topics.removeValue(forKey: topic) else { return }
        lane.items.removeAll { $0.message.offset == offset }
        self.topics[topic] = lane
    }

    /// Forgets what has expired in a topic.
    ///
    /// - Returns: what was forgotten.
    mutating func dropExpired(_ topic: Int64, at now: Int64) -> [StoredMessage] {
        guard var lane = self.topics.removeValue(forKey: topic) else { return [] }
        let expired = lane.items.lazy.map(\.message).filter { $0.isExpired(at: now) }
        let found = Array(expired)
        if !found.isEmpty { lane.items.removeAll { $0.message.isExpired(at: now) } }
        self.topics[topic] = lane
        return found
    }

    func contains(topic: Int64, _ offset: UInt64) -> Bool {
        guard let items = self.topics[topic]?.items, offset > 0 else { return false }
        let index = items.firstIndex(after: offset - 1)
        return index < items.count && items[items.startIndex + index].message.offset == offset
    }

    /// The kept messages of a topic after an offset, at most `limit`, and up to where some became too old.
    func items(of topic: Int64, after offset: UInt64, limit: Int, now: Int64) -> (kept: [StoredMessage], lost: UInt64) {
        guard let lane = self.topics[topic] else { return ([], 0) }
        var kept: [StoredMessage] = []
        var lost: UInt64 = 0
        for item in lane.items.dropFirst(lane.items.firstIndex(after: offset)) {
            switch lane.state.fate(item.message.offset, item.born, item.message.expiresAt, now) {
            case .kept: kept.append(item.message)
            case .lost: lost = item.message.offset
            case .gone: break
            }
            if kept.count >= limit { break }
        }
        return (kept, lost)
    }
}
