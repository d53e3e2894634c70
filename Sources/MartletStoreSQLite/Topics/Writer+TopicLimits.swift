import MartletCore
import Synchronization

/// Keeps topics within what they keep.
extension Writer {
    /// The oldest message of a topic, or one after it.
    struct Head {
        var offset: UInt64
        var size: Int
        var born: Int64
        var expires: Int64
    }

    /// Takes out what is too old.
    ///
    /// - Parameters:
    ///   - own: the message that is about to be stored.
    ///   - isNew: whether the age is that of the append.
    func ageOut(_ id: Int64, _ book: inout TopicBook, _ group: Group, _ own: Head? = nil, isNew: Bool = false) throws {
        guard book.count > 0, book.state.agedAt(book.oldestBorn) <= self.now else { return }
        var changed = book
        changed.oldestBorn = .max
        try self.visit(id, after: book.state.upTo, own, group) { head in
            let aged = changed.state.agedAt(head.born)
            guard aged <= self.now else {
                changed.oldestBorn = head.born
                return false
            }
            changed.remove(head.size)
            changed.state.cut(upTo: head.offset, isLost: head.expires > (isNew ? self.now : aged))
            return true
        }
        book = changed
    }

    /// Takes out the oldest until the rest fits.
    func fit(_ id: Int64, _ book: inout TopicBook, _ group: Group, _ own: Head?) throws {
        guard book.isOverLimit else { return }
        if self.now - 1_000 >= book.scannedAt {
            book.scannedAt = self.now
            try self.dropExpired(id, &book)
        }
        guard book.isOverLimit else { return }
        var changed = book
        try self.visit(id, after: book.state.upTo, own, group) { head in
            changed.oldestBorn = head.born
            guard changed.isOverLimit else { return false }
            changed.remove(head.size)
            changed.state.cut(upTo: head.offset, isLost: head.expires > self.now)
            return true
        }
        book = changed
    }

    /// Calls `body` for the messages of a topic after an offset, in order, until it returns false: those in the index, then those
    /// in memory, then the group's own.
    func visit(
        _ id: Int64, after offset: UInt64, _ own: Head?, _ group: Group, _ body: (Head) throws -> Bool
    ) throws {
        let indexed = self.shared.memtable.withLock { $0.indexed }
        if offset < indexed {
            let heads = self.topicSQL.heads
            defer { heads.reset() }
            heads.bind(1, id)
            heads.bind(2, offset)
            heads.bind(3, indexed)
            while try heads.step() {
                let head = Head(
                    offset: heads.unsigned(0), size: Int(heads.integer(1)), born: heads.integer(2), expires: heads.integer(3))
                guard try body(head) else { return }
            }
        }
        var last = offset
        while true {
            let after = last
            let part = self.shared.memtable.withLock { memtable -> [TopicLane.Item] in
                guard let items = memtable.topics[id]?.items else { return [] }
                return Array(items.dropFirst(items.firstIndex(after: after)).prefix(64))
            }
            for item in part where !group.recalled.contains(item.message.offset) {
                guard try body(Head(item.message, born: item.born)) else { return }
            }
            guard let next = part.last?.message.offset else { break }
            last = next
        }
        for item in group.items {
            guard let placing = item.placing, placing.topic == id, item.message.offset > offset, !item.message.liveOnly,
                !group.recalled.contains(item.message.offset)
            else { continue }
            guard try body(Head(item.message, born: placing.born)) else { return }
        }
        if let own { _ = try body(own) }
    }

    /// Takes out what has expired anywhere in a topic.
    private func dropExpired(_ id: Int64, _ book: inout TopicBook) throws {
        let select = self.topicSQL.expired
        select.bind(1, id)
        select.bind(2, book.state.upTo)
        select.bind(3, self.shared.memtable.withLock { $0.indexed })
        select.bind(4, self.now)
        var found: [(offset: UInt64, size: Int, due: Int64)] = []
        while try select.step() { found.append((select.unsigned(0), Int(select.integer(1)), select.integer(2))) }
        select.reset()
        // Their bodies go when they are due, which is now or was before.
        for entry in found {
            try self.delete(entry: entry.offset, of: id)
            book.remove(entry.size)
        }
        let now = self.now
        for message in self.shared.memtable.withLock({ $0.dropExpired(id, at: now) }) { book.remove(message.weight) }
    }

    /// What is due of a topic's message: it has expired, or is too old, or is to be asked about again later.
    func expire(_ offset: UInt64, _ row: Statement, _ group: inout Group) throws {
        let topic = row.integer(3)
        let born = row.integer(4)
        let expires = row.integer(5)
        let size = Int(row.integer(1))
        let isRecalled = row.integer(6) & MessageFlag.recalled != 0
        row.reset()
        let (indexed, newest) = self.shared.memtable.withLock { ($0.indexed, $0.end) }
        guard offset <= indexed else { return try self.postpone(offset, of: topic, to: self.now + 1_000) }
        guard var state = try self.topicState(topic, group) else { return try self.forget(offset, newest) }
        let fate = state.fate(offset, born, expires, self.now)
        if isRecalled, expires > self.now { return try self.schedule(.init(at: expires, offset: offset, stage: 0)) }
        switch fate {
        case .lost where !isRecalled:
            let count = self.topicSQL.countUpTo
            defer { count.reset() }
            count.bind(1, topic)
            count.bind(2, state.upTo)
            count.bind(3, offset)
            if try count.step() { self.books[topic]?.remove(Int(count.integer(1)), count: Int(count.integer(0))) }
            state.cut(upTo: offset, isLost: true)
            self.books[topic]?.state = state
            group.topics[topic] = state
            try self.write(state, of: topic)
            self.isReaping = true
            // A retained value's row stays until then.
            try self.postpone(offset, of: topic, to: max(expires, self.now))
        case .kept: try self.postpone(offset, of: topic, to: state.due(born, expires))
        case .gone where expires > self.now: try self.postpone(offset, of: topic, to: expires)
        case .gone, .lost:
            self.sql.deleteBody.bind(1, offset)
            try self.sql.deleteBody.run()
            if self.sql.deleteBody.changes > 0 { group.expired += 1 }
            if try self.delete(entry: offset, of: topic), offset > state.upTo { self.books[topic]?.remove(size) }
            try self.delete(retained: offset, of: topic)
            try self.forget(offset, newest)
        }
    }

    private func postpone(_ offset: UInt64, of topic: Int64, to due: Int64) throws {
        let update = self.topicSQL.updateDue
        update.bind(1, due)
        update.bind(2, topic)
        update.bind(3, offset)
        try update.run()
        try self.schedule(.init(at: due, offset: offset, stage: 0))
    }

    /// Deletes a message's row; the newest one, which says where offsets and ids go on, later.
    private func forget(_ offset: UInt64, _ newest: UInt64) throws {
        if offset < newest { return try self.delete(message: offset) }
        try self.schedule(.init(at: self.now + 60_000, offset: offset, stage: 1))
    }

    /// Writes a topic's state into its row.
    ///
    /// - Parameter isDirty: whether there may be entries that are not kept, even if the row was up to date.
    func write(_ state: TopicState, of topic: Int64, isDirty: Bool = false) throws {
        let update = self.topicSQL.updateTopic
        update.bind(1, state.keep.messages)
        update.bind(2, state.keep.seconds)
        update.bind(3, state.keep.bytes)
        update.bind(4, state.asOf)
        update.bind(5, state.upTo)
        update.bind(6, state.lost)
        update.bind(7, self.now)
        update.bind(8, topic)
        update.bind(9, isDirty ? 1 : 0)
        try update.run()
    }

    /// Deletes a message that was not kept long enough to be indexed. A retained one's row stays, to be recalled by.
    func bury(_ message: (offset: UInt64, topic: Int64, expires: Int64), _ group: inout Group) throws {
        self.sql.deleteBody.bind(1, message.offset)
        try self.sql.deleteBody.run()
        if self.sql.deleteBody.changes > 0 { group.reaped += 1 }
        if try self.isRetained(message.offset, message.topic) {
            try self.schedule(.init(at: message.expires, offset: message.offset, stage: 0))
        } else {
            try self.forget(message.offset, self.shared.memtable.withLock { $0.end })
        }
    }

    private func isRetained(_ offset: UInt64, _ topic: Int64) throws -> Bool {
        defer { self.topicSQL.isRetained.reset() }
        self.topicSQL.isRetained.bind(1, topic)
        self.topicSQL.isRetained.bind(2, offset)
        return try self.topicSQL.isRetained.step()
    }

    /// Deletes some of what topics keep no longer.
    func reap(_ group: inout Group, limit: Int) throws {
        guard self.isReaping else { return }
        var topics: [(id: Int64, upTo: UInt64)] = []
        self.topicSQL.dirty.bind(1, limit)
        while try self.topicSQL.dirty.step() { topics.append((self.topicSQL.dirty.integer(0), self.topicSQL.dirty.unsigned(1))) }
        self.topicSQL.dirty.reset()
        guard !topics.isEmpty else {
            self.isReaping = false
            return
        }
        try self.begin(&group)
        var victims: [(offset: UInt64, topic: Int64, due: Int64, expires: Int64)] = []
        for topic in topics where victims.count < limit {
            let room = limit - victims.count
            let garbage = self.topicSQL.garbage
            garbage.bind(1, topic.id)
            garbage.bind(2, topic.upTo)
            garbage.bind(3, room)
            let before = victims.count
            while try garbage.step() { victims.append((garbage.unsigned(0), topic.id, garbage.integer(1), garbage.integer(2))) }
            garbage.reset()
            guard victims.count - before < room else { break }
            self.topicSQL.setClean.bind(1, topic.id)
            try self.topicSQL.setClean.run()
        }
        let newest = self.shared.memtable.withLock { $0.end }
        for victim in victims.sorted(by: { $0.offset < $1.offset }) {
            self.sql.deleteBody.bind(1, victim.offset)
            try self.sql.deleteBody.run()
            if self.sql.deleteBody.changes > 0 { group.reaped += 1 }
            try self.delete(entry: victim.offset, of: victim.topic)
            try self.unschedule(victim.due, victim.offset)
            if try self.isRetained(victim.offset, victim.topic) {
                try self.schedule(.init(at: victim.expires, offset: victim.offset, stage: 0))
            } else {
                try self.forget(victim.offset, newest)
            }
        }
    }

    /// Forgets topics of which nothing is left. What they lost stays known for as long as cursors live.
    ///
    /// - Returns: whether there may be many more.
    func sweepTopics(_ group: inout Group) throws -> Bool {
        guard group.topicSweepPosition == nil else { return false }
        let sweep = self.topicSQL.sweep
        sweep.bind(1, self.topicSweepPosition)
        var rows: [(id: Int64, key: TopicKey, lost: UInt64, touched: Int64)] = []
        while try sweep.step() {
            let app = AppID(UInt32(truncatingIfNeeded: sweep.integer(1)))
            rows.append((sweep.integer(0), TopicKey(app: app, name: sweep.text(2) ?? ""), sweep.unsigned(3), sweep.integer(4)))
        }
        sweep.reset()
        var forgotten = 0
        for row in rows {
            let idleMs = self.now - row.touched
            guard idleMs >= Self.emptyTopicMs, group.topics[row.id] == nil,
                self.shared.memtable.withLock({ $0.topics[row.id] == nil }), try self.isEmpty(row.id)
            else { continue }
            if row.lost > (try self.floor(of: row.key.app)) {
                guard idleMs >= self.rememberedMs else {
                    self.remembered += 1
                    continue
                }
                self.topicSQL.raiseFloor.bind(1, Int64(row.key.app.rawValue))
                self.topicSQL.raiseFloor.bind(2, row.lost)
                try self.topicSQL.raiseFloor.run()
            }
            self.topicSQL.deleteTopic.bind(1, row.id)
            try self.topicSQL.deleteTopic.run()
            self.topicIDs[row.key] = nil
            self.books[row.id] = nil
            forgotten += 1
        }
        group.topicSweepPosition = rows.count < 100 ? 0 : rows.last?.id
        if rows.count < 100 {
            let lifeMs = Int64(self.configuration.limits.deviceUnseenSeconds) * 1_000
            self.rememberedMs = self.remembered > self.configuration.rememberedTopics ? self.rememberedMs / 2 : lifeMs
            self.remembered = 0
        }
        return forgotten >= 50
    }

    /// Time for which an empty topic is not worth forgetting, in milliseconds.
    private static let emptyTopicMs: Int64 = 60_000

    private func isEmpty(_ topic: Int64) throws -> Bool {
        for statement in [self.topicSQL.hasEntry, self.topicSQL.selectRetained] {
            defer { statement.reset() }
            statement.bind(1, topic)
            if try statement.step() { return false }
        }
        return true
    }
}

extension Writer.Head {
    init(_ message: StoredMessage, born: Int64) {
        self.init(offset: message.offset, size: message.weight, born: born, expires: message.expiresAt)
    }
}
