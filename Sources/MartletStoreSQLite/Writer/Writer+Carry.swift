import GRDBSQLite
import Logging
import MartletCore
import Synchronization

/// The work that is not urgent: it rides along with commits, in slices, or is done when nothing waits.
extension Writer {
    /// Devices whose records one commit writes at most.
    private static let flushSlice = 500
    /// Expired messages that one commit clears at most.
    private static let expirySlice = 200

    /// Adds slices of other work to a group.
    func carry(_ group: inout Group) throws {
        try self.writeSessions(&group)
        try self.applyTrims(&group)
        try self.enforceLimits(&group)
        let clock = monotonicMs()
        self.retryDeferred()
        if let oldest = self.oldestDirtyMs, clock - oldest >= self.configuration.flushMs * 4 / 5 {
            try self.flushDevices(&group, limit: Self.flushSlice)
        }
        let busy =
            self.indexer.waitingEntries > self.configuration.unindexedEntries / 2
            || self.indexer.waitingBytes > self.configuration.unindexedBytes / 2
        if busy { self.freeze() }
        if let batch = self.indexer.batch {
            let late = self.indexer.waitingEntries > self.configuration.unindexedEntries
            let slice = late ? batch.rows : max(group.rows * 3, 64)
            try self.index(&group, limit: slice)
        }
        if clock >= self.nextExpiryCheckMs, group.inTransaction || clock >= self.nextExpiryCheckMs + 100 {
            try self.expire(&group, limit: Self.expirySlice)
        }
        try self.reap(&group, limit: max(group.rows * 3, 64))
        if clock >= self.nextSweepMs, group.inTransaction { try self.sweep(&group) }
        try self.keepClock(&group, clock)
    }

    /// What is done when nothing waits.
    func idle() {
        for _ in 0..<1_000 {
            var group = self.newGroup()
            let clock = monotonicMs()
            do {
                try self.resolveDoubt()
                try self.carry(&group)
                if self.indexer.batch == nil, clock - self.lastAppendMs > 1_000 { self.freeze() }
                try self.index(&group, limit: 1_000)
                try self.reap(&group, limit: 1_000)
                if clock >= self.nextSweepMs { try self.sweep(&group) }
                try self.commit(&group)
            } catch {
                self.rescue(group, error as? SQLiteError ?? SQLiteError(code: SQLITE_ERROR, message: "\(error)"))
                return
            }
            let worked = group.inTransaction
            self.publish(group)
            if !worked || self.queue.withLock({ !$0.operations.isEmpty || $0.phase != .running }) { return }
        }
    }

    /// Writes everything that is kept in memory, and clears a slice of what is past its time.
    func settle(_ group: inout Group) throws {
        if !self.healthy {
            // Something to write, so that the commit tells whether it can be.
            try self.begin(&group)
            try self.setMeta("probe", self.now)
        }
        try self.flushDevices(&group, limit: .max)
        self.freeze()
        try self.index(&group, limit: .max)
        try self.reap(&group, limit: 10_000)
        try self.expire(&group, limit: Self.expirySlice * 5)
        try self.sweep(&group)
    }

    private func flushDevices(_ group: inout Group, limit: Int) throws {
        let keys = self.shared.devices.withLock { Array($0.keys.prefix(limit)) }
        guard !keys.isEmpty else { return }
        try self.begin(&group)
        for key in keys where group.flushed[key] == nil { try self.flush(key, &group) }
    }

    func setMeta(_ key: String, _ value: Int64) throws {
        self.sql.setMeta.bind(1, key)
        self.sql.setMeta.bind(2, value)
        try self.sql.setMeta.run()
    }

    /// Clears what has expired: first bodies and inbox entries, a day later the rest.
    private func expire(_ group: inout Group, limit: Int) throws {
        let select = self.sql.dueExpiries
        select.bind(1, self.now)
        select.bind(2, limit)
        var due: [Indexer.Expiry] = []
        while try select.step() {
            due.append(Indexer.Expiry(at: select.integer(0), offset: select.unsigned(1), stage: select.integer(2)))
        }
        select.reset()
        if due.count < limit { self.nextExpiryCheckMs = monotonicMs() + 200 }
        guard !due.isEmpty else { return }
        try self.begin(&group)
        let newest = self.shared.memtable.withLock { $0.end }
        for expiry in due {
            self.sql.deleteExpiry.bind(1, expiry.at)
            self.sql.deleteExpiry.bind(2, expiry.offset)
            try self.sql.deleteExpiry.run()
            if expiry.stage == 0 {
                try self.clear(expiry, &group)
            } else if expiry.offset >= newest {
                // The newest row says where offsets and ids go on.
                try self.schedule(Indexer.Expiry(at: self.now + 60_000, offset: expiry.offset, stage: 1))
            } else {
                self.sql.deleteMessage.bind(1, expiry.offset)
                try self.sql.deleteMessage.run()
                self.sql.deleteSuperseded.bind(1, expiry.offset)
                try self.sql.deleteSuperseded.run()
            }
        }
    }

    private func clear(_ expiry: Indexer.Expiry, _ group: inout Group) throws {
        let select = self.sql.messageTargets
        defer { select.reset() }
        select.bind(1, expiry.offset)
        let isRow = try select.step()
        if isRow, !select.isNull(3) { return try self.expire(expiry.offset, select, &group) }
        self.sql.deleteBody.bind(1, expiry.offset)
        try self.sql.deleteBody.run()
        if self.sql.deleteBody.changes > 0 { group.expired += 1 }
        guard isRow else { return }
        let size = Int(select.integer(1))
        let delete = self.sql.deleteEntry
        for inbox in Codec.inboxes(select.bytes(2)) {
            delete.bind(1, inbox)
            delete.bind(2, select.integer(0))
            delete.bind(3, expiry.offset)
            try delete.run()
            if delete.changes > 0 { self.shrink(inbox, by: size) }
        }
        try self.schedule(Indexer.Expiry(at: expiry.at + self.reportMs, offset: expiry.offset, stage: 1))
    }

    /// Deletes what is past its time, and devices that never came back.
    private func sweep(_ group: inout Group) throws {
        try self.begin(&group)
        var isBehind = false
        if try self.sweepKeys(&group) { isBehind = true }
        if try self.sweepTopics(&group) { isBehind = true }
        for (statement, time) in [
            (self.sql.sweepCollapse, self.now - self.reportMs),
            (self.sql.sweepTrim, self.now - self.reportMs),
        ] {
            statement.bind(1, time)
            try statement.run()
            if statement.changes >= 200 { isBehind = true }
        }
        self.nextSweepMs = monotonicMs() + (isBehind ? 0 : 1_000)
        guard group.sweepPosition == nil else { return }
        let first = try self.first()
        let unseen = self.wall - Int64(self.configuration.limits.deviceUnseenSeconds) * 1_000
        let select = self.sql.sweepDevices
        select.bind(1, self.sweepPosition)
        var last: Int64 = 0
        var rows: [(id: Int64, key: DeviceKey, seen: Int64)] = []
        while try select.step() {
            let app = AppID(UInt32(truncatingIfNeeded: select.integer(1)))
            rows.append((select.integer(0), DeviceKey(app: app, name: select.text(2) ?? ""), select.integer(3)))
        }
        select.reset()
        for row in rows {
            last = row.id
            if row.seen < unseen, self.shared.devices.withLock({ $0[row.key] == nil }) {
                self.sql.deleteDevice.bind(1, row.id)
                try self.sql.deleteDevice.run()
                self.sql.deleteJournal.bind(1, row.id)
                try self.sql.deleteJournal.run()
            } else {
                self.sql.trimJournal.bind(1, row.id)
                self.sql.trimJournal.bind(2, first)
                try self.sql.trimJournal.run()
            }
        }
        group.sweepPosition = rows.count < 100 ? 0 : last
    }

    private func first() throws -> UInt64 {
        defer { self.sql.firstMessage.reset() }
        return try self.sql.firstMessage.step() ? self.sql.firstMessage.unsigned(0) : 0
    }

    /// Keeps a sample of the server's clock and the number of messages, at most once a second, with a commit that
    /// happens anyway.
    private func keepClock(_ group: inout Group, _ clock: Int64) throws {
        guard group.inTransaction, clock - self.lastClockMs >= 1_000, let sample = self.environment.clockSample?()
        else { return }
        self.lastClockMs = clock
        self.sql.setMeta.bind(1, "clock")
        self.sql.setMeta.bind(2, sample.text)
        try self.sql.setMeta.run()
        try self.setMeta("messages", Int64(self.shared.messages.load(ordering: .relaxed)))
    }

    func boundCaches() {
        if self.stats.count > 500_000 { self.stats = [:] }
        if self.inboxes.count > 500_000 { self.inboxes = [:] }
        if self.topicIDs.count > 200_000 { self.topicIDs = [:] }
        if self.books.count > 200_000 { self.books = [:] }
    }

    /// Keeps SQLite's log short: in the background while it is small, here once it is not.
    func boundLog() {
        let bytes = Int(self.logPages) * 4_096
        guard bytes > self.configuration.checkpointBytes, self.checkpointer.isIdle else { return }
        if bytes > self.logBound {
            // Someone who reads for long (a backup) holds the log: it grows by as much again before the next try.
            sqlite3_busy_timeout(self.db.handle, 100)
            let restarted = (try? self.db.checkpoint(SQLITE_CHECKPOINT_RESTART)) != nil
            sqlite3_busy_timeout(self.db.handle, 5_000)
            self.logBound = self.configuration.logBytes + (restarted ? 0 : bytes)
            self.logPages = 0
        } else if bytes > 2 * self.configuration.checkpointBytes, self.checkpointer.remainingPages < 512 {
            // The background has moved nearly all; after the rest is moved the log starts again by itself.
            _ = try? self.db.checkpoint(SQLITE_CHECKPOINT_PASSIVE)
            self.checkpointer.remainingPages = .max
        } else {
            self.checkpointer.request()
        }
    }
}

extension Writer {
    /// Notes that this run ended well. The last thing that is written.
    func markClean() throws {
        try self.db.execute("PRAGMA synchronous = FULL")
        let isOptional = self.configuration.durability != .memory
        try self.db.emptyLog(isOptional: isOptional)
        try self.setMeta("messages", Int64(self.shared.messages.load(ordering: .relaxed)))
        try self.setMeta("clean", 1)
        try self.db.emptyLog(isOptional: isOptional)
    }
}
