import MartletCore
import MartletWire
import Synchronization

/// What the writer knows of a topic: its state, and what that keeps.
struct TopicBook {
    var state: TopicState
    var count = 0
    var bytes = 0
    /// No message that is kept was stored before, by the server's clock in milliseconds.
    var oldestBorn = Int64.max
    /// When it was last looked through for what has expired.
    var scannedAt = Int64.min
    var retained: Retained?

    struct Retained {
        var offset: UInt64
        var expires: Int64
    }

    var isOverLimit: Bool { self.count > 0 && (self.count > self.state.keep.messages || self.bytes > self.state.keep.bytes) }

    mutating func add(_ bytes: Int, born: Int64) {
        self.count += 1
        self.bytes += bytes
        self.oldestBorn = min(self.oldestBorn, born)
    }

    mutating func remove(_ bytes: Int, count: Int = 1) {
        self.count -= count
        self.bytes -= bytes
    }
}

/// Stores the messages of topics.
extension Writer {
    /// Stores a message of a topic; what the topic keeps no longer is out of sight from this commit on, and deleted later.
    func append(_ message: StoredMessage, _ topic: TopicAppend, _ app: AppID, _ group: inout Group) throws -> TopicPlacing {
        let key = TopicKey(app: app, name: topic.name)
        if !group.trims.isEmpty { try self.applyTrim(of: key, &group) }
        let id = try self.topicID(key)
        var book = try self.book(id, group)
        // What was too old before stays so, whatever is kept from now on.
        try self.ageOut(id, &book, group)
        book.state.keep = topic.keep
        book.state.asOf = message.offset
        let own = message.liveOnly ? nil : Head(message, born: self.now)
        if let own { book.add(own.size, born: own.born) }
        // What is too old only from now on goes now.
        try self.ageOut(id, &book, group, own, isNew: true)
        try self.retain(message, topic.retain, id, key, &book, &group)
        try self.fit(id, &book, group, own)
        self.books[id] = book
        group.topics[id] = book.state
        try self.insert(message, id, app, book.state)
        return TopicPlacing(app: app, topic: id, born: self.now, state: book.state)
    }

    private func insert(_ message: StoredMessage, _ topic: Int64, _ app: AppID, _ state: TopicState) throws {
        let insert = self.topicSQL.insertMessage
        insert.bind(1, message.offset)
        insert.bind(2, message.id.high)
        insert.bind(3, message.id.low)
        insert.bind(4, Int64(app.rawValue))
        insert.bind(5, message.liveOnly ? MessageFlag.liveOnly : 0)
        insert.bind(6, Int64(message.priority.rawValue))
        insert.bind(7, message.at)
        insert.bind(8, message.expiresAt)
        insert.bind(9, message.weight)
        insert.bind(10, topic)
        insert.bind(11, self.now)
        insert.bind(12, Codec.encode(state))
        insert.bind(13, message.marks.rawValue)
        try insert.run()
        guard !message.liveOnly else { return }
        self.sql.insertBody.bind(1, message.offset)
        self.sql.insertBody.bind(2, message.fragment)
        try self.sql.insertBody.run()
    }

    /// The id of a topic, which is made if there is none.
    private func topicID(_ key: TopicKey) throws -> Int64 {
        if let id = try self.knownTopic(key) { return id }
        // It may have been known before: what was forgotten then counts as lost.
        let floor = try self.floor(of: key.app)
        let insert = self.topicSQL.insertTopic
        defer { insert.reset() }
        insert.bind(1, Int64(key.app.rawValue))
        insert.bind(2, key.name)
        insert.bind(3, floor)
        insert.bind(4, floor)
        insert.bind(5, self.now)
        _ = try insert.step()
        let id = insert.integer(0)
        self.topicIDs[key] = id
        self.books[id] = TopicBook(state: TopicState(keep: .init(), asOf: 0, upTo: floor, lost: floor))
        return id
    }

    func knownTopic(_ key: TopicKey) throws -> Int64? {
        if let id = self.topicIDs[key] { return id }
        let select = self.topicSQL.selectTopic
        defer { select.reset() }
        select.bind(1, Int64(key.app.rawValue))
        select.bind(2, key.name)
        guard try select.step() else { return nil }
        let id = select.integer(0)
        self.topicIDs[key] = id
        return id
    }

    func floor(of app: AppID) throws -> UInt64 {
        let select = self.topicSQL.floor
        defer { select.reset() }
        select.bind(1, Int64(app.rawValue))
        return try select.step() ? select.unsigned(0) : 0
    }

    /// A topic's state as of now, with what the group has changed.
    func topicState(_ id: Int64, _ group: Group) throws -> TopicState? {
        if let state = self.books[id]?.state ?? group.topics[id] { return state }
        let select = self.topicSQL.selectState
        defer { select.reset() }
        select.bind(1, id)
        let kept = self.shared.memtable.withLock { $0.topics[id]?.state }
        guard try select.step() else { return kept }
        var state = TopicRow.state(select)
        if let kept { state.merge(kept) }
        return state
    }

    func book(_ id: Int64, _ group: Group) throws -> TopicBook {
        if let book = self.books[id] { return book }
        var book = TopicBook(state: try self.topicState(id, group) ?? TopicState(keep: .init(), asOf: 0, upTo: 0, lost: 0))
        let select = self.topicSQL.count
        defer { select.reset() }
        select.bind(1, id)
        select.bind(2, book.state.upTo)
        self.shared.memtable.withLock { memtable in
            select.bind(3, memtable.indexed)
            for item in memtable.topics[id]?.items ?? [] where item.message.offset > book.state.upTo {
                book.add(item.message.weight, born: item.born)
            }
        }
        if try select.step(), select.integer(0) > 0 {
            book.count += Int(select.integer(0))
            book.bytes += Int(select.integer(1))
            book.oldestBorn = min(book.oldestBorn, select.integer(2))
        }
        let retained = self.topicSQL.selectRetained
        defer { retained.reset() }
        retained.bind(1, id)
        if try retained.step() { book.retained = .init(offset: retained.unsigned(0), expires: retained.integer(1)) }
        return book
    }

    /// Replaces or clears a topic's retained value.
    private func retain(
        _ message: StoredMessage, _ retain: TopicAppend.Retain, _ id: Int64, _ key: TopicKey, _ book: inout TopicBook, _ group: inout Group
    ) throws {
        guard retain != .leave else { return }
        if let old = book.retained, old.offset <= book.state.upTo {
            // Its history was over before: nothing else holds its row. Without it nobody would find its body.
            self.sql.deleteBody.bind(1, old.offset)
            try self.sql.deleteBody.run()
            if self.sql.deleteBody.changes > 0 { group.reaped += 1 }
            try self.delete(message: old.offset)
            try self.unschedule(old.expires, old.offset)
        }
        guard retain == .set, !message.liveOnly else {
            book.retained = nil
            self.topicSQL.deleteRetained.bind(1, id)
            return try self.topicSQL.deleteRetained.run()
        }
        book.retained = .init(offset: message.offset, expires: message.expiresAt)
        let upsert = self.topicSQL.upsertRetained
        upsert.bind(1, id)
        upsert.bind(2, Int64(key.app.rawValue))
        upsert.bind(3, key.name)
        upsert.bind(4, message.offset)
        upsert.bind(5, message.id.high)
        upsert.bind(6, message.id.low)
        upsert.bind(7, Int64(message.priority.rawValue))
        upsert.bind(8, message.at)
        upsert.bind(9, message.expiresAt)
        upsert.bind(10, message.fragment)
        upsert.bind(11, message.marks.rawValue)
        try upsert.run()
    }

    /// Takes a message out of its topic.
    func recall(_ offset: UInt64, of topic: Int64, _ group: inout Group) throws {
        self.sql.deleteBody.bind(1, offset)
        try self.sql.deleteBody.run()
        if self.sql.deleteBody.changes > 0 { group.reaped += 1 }
        let isEntry = try self.delete(entry: offset, of: topic)
        try self.delete(retained: offset, of: topic)
        let (isIndexed, isInMemory) = self.shared.memtable.withLock { ($0.indexed >= offset, $0.contains(topic: topic, offset)) }
        let isNew = !isIndexed && !isInMemory && group.items.contains { $0.message.offset == offset && !$0.message.liveOnly }
        if let book = self.books[topic], offset > book.state.upTo, isIndexed ? isEntry : isInMemory || isNew {
            let select = self.sql.messageTargets
            defer { select.reset() }
            select.bind(1, offset)
            if try select.step() { self.books[topic]?.remove(Int(select.integer(1))) }
        }
        group.recalledOf.append((topic, offset))
    }

    /// - Returns: whether there was one.
    @discardableResult
    func delete(entry offset: UInt64, of topic: Int64) throws -> Bool {
        let delete = self.topicSQL.deleteEntry
        delete.bind(1, topic)
        delete.bind(2, offset)
        try delete.run()
        return delete.changes > 0
    }

    func delete(retained offset: UInt64, of topic: Int64) throws {
        let delete = self.topicSQL.deleteRetainedAt
        delete.bind(1, topic)
        delete.bind(2, offset)
        try delete.run()
        if self.books[topic]?.retained?.offset == offset { self.books[topic]?.retained = nil }
    }

    func delete(message offset: UInt64) throws {
        self.sql.deleteMessage.bind(1, offset)
        try self.sql.deleteMessage.run()
    }

    func unschedule(_ at: Int64, _ offset: UInt64) throws {
        self.sql.deleteExpiry.bind(1, at)
        self.sql.deleteExpiry.bind(2, offset)
        try self.sql.deleteExpiry.run()
    }
}
