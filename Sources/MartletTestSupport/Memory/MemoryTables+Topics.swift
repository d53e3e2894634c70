import MartletCore
import MartletWire

/// One topic: what it keeps, oldest first.
struct MemoryTopic {
    var keep = TopicAppend.Keep()
    var entries: [UInt64] = []
    /// The largest offset that went for ``keep``.
    var lost: UInt64 = 0
    var retained: UInt64?

    /// When a message is too old, by the server's clock in milliseconds.
    func agedAt(_ row: MessageRow) -> Int64 { row.born + Int64(min(self.keep.seconds, 1 << 40)) * 1_000 }
}

extension MemoryTables {
    /// Puts a message into its topic, and keeps the topic within its limits.
    mutating func insert(_ message: StoredMessage, into key: TopicKey, _ append: TopicAppend, now: Int64) {
        var topic = self.topics.removeValue(forKey: key) ?? MemoryTopic()
        defer { self.topics[key] = topic }
        self.ageOut(&topic, now: now)
        topic.keep = append.keep
        if !message.liveOnly { topic.entries.append(message.offset) }
        self.ageOut(&topic, now: now, isNew: true)
        switch append.retain {
        case .leave: break
        case .set: topic.retained = message.liveOnly ? nil : message.offset
        case .clear: topic.retained = nil
        }
        var bytes = self.bytes(topic.entries)
        guard topic.entries.count > topic.keep.messages || bytes > topic.keep.bytes else { return }
        topic.entries.removeAll { self.rows[$0]?.message.isExpired(at: now) ?? true }
        bytes = self.bytes(topic.entries)
        while let first = topic.entries.first, topic.entries.count > topic.keep.messages || bytes > topic.keep.bytes {
            topic.entries.removeFirst()
            bytes -= self.rows[first]?.message.weight ?? 0
            topic.lost = max(topic.lost, first)
        }
    }

    private func bytes(_ offsets: [UInt64]) -> Int { offsets.reduce(0) { $0 + (self.rows[$1]?.message.weight ?? 0) } }

    /// Takes out what is too old; what had expired before that is no loss.
    ///
    /// - Parameter isNew: whether the age is that of an append now.
    private func ageOut(_ topic: inout MemoryTopic, now: Int64, isNew: Bool = false) {
        while let first = topic.entries.first, let row = self.rows[first], topic.agedAt(row) <= now {
            topic.entries.removeFirst()
            if row.message.expiresAt > (isNew ? now : topic.agedAt(row)) { topic.lost = max(topic.lost, first) }
        }
    }

    /// Takes out what is not needed any more; that is no loss.
    mutating func trim(_ key: TopicKey, upTo offset: UInt64, now: Int64) {
        guard var topic = self.topics.removeValue(forKey: key) else { return }
        self.ageOut(&topic, now: now)
        topic.entries.removeAll { $0 <= offset }
        self.topics[key] = topic
    }

    mutating func recall(_ offset: UInt64, of key: TopicKey) {
        self.topics[key]?.entries.removeAll { $0 == offset }
        if self.topics[key]?.retained == offset { self.topics[key]?.retained = nil }
    }

    func readTopic(_ request: TopicReadRequest) -> TopicSlice {
        var slice = TopicSlice(entries: [], gaps: [], more: false, position: self.end)
        var found: [(topic: String, message: StoredMessage)] = []
        var after: UInt64 = 0
        if case .after(let offset) = request.start { after = offset }
        for (key, var topic) in self.topics where key.app == request.app && request.filter.matches(key.name) {
            self.ageOut(&topic, now: request.now)
            if case .after = request.start, topic.lost > after {
                slice.gaps.append(TopicGap(topic: key.name, reason: .trimmed, from: after, to: topic.lost))
            }
            for offset in topic.entries where offset > after {
                guard let row = self.rows[offset], row.isAlive(at: request.now) else { continue }
                found.append((key.name, row.message))
            }
        }
        slice.gaps.sort { ($0.to ?? 0) < ($1.to ?? 0) }
        found.sort { $0.message.offset < $1.message.offset }
        switch request.start {
        case .last(let count): found = found.suffix(max(0, count))
        case .time(let time): found = Array(found.drop { $0.message.at < time })
        case .latest: found = []
        case .earliest, .after: break
        }
        var position = after
        var bytes = 0
        for (topic, message) in found {
            bytes += message.weight
            guard slice.entries.count < request.messages, slice.entries.isEmpty || bytes <= request.bytes else {
                slice.more = true
                slice.position = position
                break
            }
            position = message.offset
            slice.entries.append(.init(topic: topic, message: message))
        }
        return slice
    }

    func retained(_ request: RetainedRequest) -> RetainedSlice {
        var names = self.topics.keys.filter { $0.app == request.app }.map(\.name)
        if let after = request.after { names.removeAll { !after.utf8.lexicographicallyPrecedes($0.utf8) } }
        names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var slice = RetainedSlice(entries: [])
        var bytes = 0
        for (looks, name) in names.enumerated() {
            // Few, so that what happens between two readings is tried.
            guard looks < 5, slice.entries.count < request.values, bytes < request.bytes else { return slice }
            if request.filter.matches(name), let offset = self.topics[TopicKey(app: request.app, name: name)]?.retained,
                let row = self.rows[offset], row.isAlive(at: request.now)
            {
                bytes += row.message.weight
                guard slice.entries.isEmpty || bytes <= request.bytes else { return slice }
                slice.entries.append(.init(topic: name, message: row.message))
            }
            slice.reached = name
        }
        slice.reached = nil
        return slice
    }

    func topicInfo(_ key: TopicKey, now: Int64) -> TopicLogInfo {
        var info = TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil)
        guard var topic = self.topics[key] else { return info }
        self.ageOut(&topic, now: now)
        for offset in topic.entries {
            guard let row = self.rows[offset], row.isAlive(at: now) else { continue }
            info.messages += 1
            info.bytes += row.message.weight
            info.first = info.first ?? offset
            info.last = offset
        }
        return info
    }
}
