import MartletCore
import Synchronization

/// Writes what the ``Indexer`` has frozen.
extension Writer {
    func freeze() {
        let reportMs = self.reportMs
        self.shared.memtable.withLock { self.indexer.freeze($0, reportMs: reportMs) }
    }

    /// Writes the next rows of the batch, at most `limit`.
    func index(_ group: inout Group, limit: Int) throws {
        guard let batch = self.indexer.batch, group.indexedUpTo == nil else { return }
        try self.begin(&group)
        var row = batch.written + group.indexedRows
        let stop = limit >= batch.rows - row ? batch.rows : row + limit
        var first = 0
        /// The rows of one kind that are to be written now, by their index among that kind.
        func rows(_ count: Int) -> Range<Int> {
            let start = row - first
            let range = start..<max(start, min(count, stop - first))
            row = first + range.upperBound
            first += count
            return range
        }
        for index in rows(batch.entries.count) { try self.insert(batch.entries[index], group) }
        for index in rows(batch.topicEntries.count) { try self.insert(batch.topicEntries[index], group) }
        for index in rows(batch.expiries.count) { try self.schedule(batch.expiries[index]) }
        let indexed = self.shared.memtable.withLock { $0.indexed }
        for index in rows(batch.states.count) {
            let (topic, state) = batch.states[index]
            let current = try self.topicState(topic, group) ?? state
            // A trim may have been before entries that came with this batch.
            try self.write(current, of: topic, isDirty: current.upTo > indexed)
        }
        for index in rows(batch.dead.count) { try self.bury(batch.dead[index], &group) }
        group.indexedRows = row - batch.written
        if row == batch.rows {
            group.indexedUpTo = batch.upTo
            try self.setMeta("indexed", Int64(bitPattern: batch.upTo))
        }
    }

    private func insert(_ entry: Indexer.Entry, _ group: Group) throws {
        if self.indexer.hasLeft(entry) || (group.drops[entry.lane] ?? 0) >= entry.offset { return }
        let insert = self.sql.insertEntry
        insert.bind(1, entry.lane.inbox)
        insert.bind(2, Int64(entry.lane.priority.rawValue))
        insert.bind(3, entry.offset)
        insert.bind(4, entry.size)
        insert.bind(5, entry.expires)
        try insert.run()
    }

    private func insert(_ entry: Indexer.TopicEntry, _ group: Group) throws {
        if self.indexer.hasLeft(entry) || group.recalled.contains(entry.offset) { return }
        let insert = self.topicSQL.insertEntry
        insert.bind(1, entry.topic)
        insert.bind(2, entry.offset)
        insert.bind(3, entry.size)
        insert.bind(4, entry.born)
        insert.bind(5, entry.expires)
        insert.bind(6, entry.due)
        try insert.run()
    }

    func schedule(_ expiry: Indexer.Expiry) throws {
        self.sql.insertExpiry.bind(1, expiry.at)
        self.sql.insertExpiry.bind(2, expiry.offset)
        self.sql.insertExpiry.bind(3, expiry.stage)
        try self.sql.insertExpiry.run()
    }
}
