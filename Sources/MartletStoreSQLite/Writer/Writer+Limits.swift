import MartletCore
import Synchronization

/// Keeps inboxes within their limits.
extension Writer {
    /// Counts a message in.
    func grow(_ inbox: Int64, by bytes: Int, _ group: inout Group) throws {
        if self.stats[inbox] == nil { self.stats[inbox] = try self.count(inbox) }
        self.stats[inbox]?.count += 1
        self.stats[inbox]?.bytes += bytes
        if self.isOverLimit(inbox) { group.touched.insert(inbox) }
    }

    private func isOverLimit(_ inbox: Int64) -> Bool {
        guard let stats = self.stats[inbox] else { return false }
        return stats.count > self.configuration.limits.inboxMessages
            || stats.bytes > self.configuration.limits.inboxBytes
    }

    private func count(_ inbox: Int64) throws -> InboxStats {
        let select = self.sql.selectStats
        defer { select.reset() }
        select.bind(1, inbox)
        var stats = InboxStats(count: 0, bytes: 0)
        self.shared.memtable.withLock { memtable in
            select.bind(2, memtable.indexed)
            for priority in Priority.allCases {
                for message in memtable.lanes[LaneKey(inbox, priority)] ?? [] {
                    stats.count += 1
                    stats.bytes += message.weight
                }
            }
        }
        guard try select.step() else { return stats }
        stats.count += Int(select.integer(0))
        stats.bytes += Int(select.integer(1))
        return stats
    }

    func shrink(_ inbox: Int64, by bytes: Int, count: Int = 1) {
        self.stats[inbox]?.count -= count
        self.stats[inbox]?.bytes -= bytes
    }

    /// Takes the oldest of the lowest lanes out of the inboxes that the group has made too large.
    func enforceLimits(_ group: inout Group) throws {
        for inbox in group.touched where self.isOverLimit(inbox) {
            if let stats = self.stats[inbox], self.now - 1_000 >= stats.scannedAt {
                self.stats[inbox]?.scannedAt = self.now
                try self.dropExpired(inbox)
            }
            for priority in Priority.allCases.reversed() {
                while self.isOverLimit(inbox), try self.trim(LaneKey(inbox, priority), &group) {}
            }
        }
    }

    /// Takes some of a lane's oldest away.
    ///
    /// - Returns: whether there were any.
    private func trim(_ lane: LaneKey, _ group: inout Group) throws -> Bool {
        var upTo: UInt64 = 0
        var lostUpTo: UInt64 = 0
        var until: Int64 = 0
        for victim in try self.oldest(of: lane, group) {
            guard self.isOverLimit(lane.inbox) else { break }
            self.shrink(lane.inbox, by: victim.size)
            upTo = victim.offset
            // A place whose message would not have been sent any more is no loss.
            guard !victim.isGone, victim.expires > self.now, try !self.isSuperseded(victim, lane.inbox) else {
                continue
            }
            lostUpTo = victim.offset
            group.dropped += 1
            until = max(until, victim.expires)
        }
        guard upTo > 0 else { return false }
        try self.delete(lane, upTo: upTo)
        group.drops[lane] = max(group.drops[lane] ?? 0, upTo)
        guard lostUpTo > 0 else { return true }
        let upsert = self.sql.upsertTrim
        upsert.bind(1, lane.inbox)
        upsert.bind(2, Int64(lane.priority.rawValue))
        upsert.bind(3, lostUpTo)
        upsert.bind(4, until)
        try upsert.run()
        return true
    }

    private struct Victim {
        var offset: UInt64
        var size: Int
        var expires: Int64
        var isGone: Bool
        var collapseKey: String?

        init(_ message: StoredMessage, isRecalled: Bool) {
            self.offset = message.offset
            self.size = message.weight
            self.expires = message.expiresAt
            self.isGone = isRecalled
            self.collapseKey = message.collapseKey
        }

        /// Reads a row of `laneHead`.
        init(_ row: Statement) {
            self.offset = row.unsigned(0)
            self.size = Int(row.integer(1))
            self.expires = row.integer(2)
            self.isGone = row.integer(3) & MessageFlag.recalled != 0
            self.collapseKey = row.text(4)
        }
    }

    /// Some of a lane's oldest: those in the index, or else those in memory, or else the group's own.
    private func oldest(of lane: LaneKey, _ group: Group) throws -> [Victim] {
        var victims: [Victim] = []
        let head = self.sql.laneHead
        head.bind(1, lane.inbox)
        head.bind(2, Int64(lane.priority.rawValue))
        head.bind(3, self.shared.memtable.withLock { $0.indexed })
        while try head.step() { victims.append(Victim(head)) }
        head.reset()
        if !victims.isEmpty { return victims }
        let dropped = group.drops[lane] ?? 0
        victims = self.shared.memtable.withLock { memtable in
            memtable.messages(lane, after: dropped, limit: 1_000).found.map {
                Victim($0, isRecalled: memtable.isRecalled($0.offset))
            }
        }
        if !victims.isEmpty { return victims }
        return group.items.lazy.map { ($0.message, $0.inboxes) }.filter { message, inboxes in
            message.offset > dropped && message.priority == lane.priority && !message.liveOnly
                && inboxes.contains(lane.inbox)
        }.map { Victim($0.0, isRecalled: false) }
    }

    private func isSuperseded(_ victim: Victim, _ inbox: Int64) throws -> Bool {
        guard let key = victim.collapseKey else { return false }
        let select = self.sql.selectCollapse
        defer { select.reset() }
        select.bind(1, inbox)
        select.bind(2, key)
        return try select.step() && select.unsigned(0) > victim.offset
    }

    private func delete(_ lane: LaneKey, upTo offset: UInt64) throws {
        let delete = self.sql.deleteLane
        delete.bind(1, lane.inbox)
        delete.bind(2, Int64(lane.priority.rawValue))
        delete.bind(3, offset)
        try delete.run()
    }

    /// Takes what has expired out of one inbox.
    private func dropExpired(_ inbox: Int64) throws {
        let select = self.sql.expiredEntries
        select.bind(1, inbox)
        select.bind(2, self.now)
        select.bind(3, self.shared.memtable.withLock { $0.indexed })
        var expired: [(priority: Int64, offset: UInt64, size: Int)] = []
        while try select.step() { expired.append((select.integer(0), select.unsigned(1), Int(select.integer(2)))) }
        select.reset()
        for entry in expired {
            self.sql.deleteEntry.bind(1, inbox)
            self.sql.deleteEntry.bind(2, entry.priority)
            self.sql.deleteEntry.bind(3, entry.offset)
            try self.sql.deleteEntry.run()
            self.shrink(inbox, by: entry.size)
        }
        for priority in Priority.allCases {
            let lane = LaneKey(inbox, priority)
            let now = self.now
            for message in self.shared.memtable.withLock({ $0.dropExpired(lane, at: now) }) {
                self.indexer.left(lane, message.offset)
                self.shrink(inbox, by: message.weight)
                // A slice of the index may have been written ahead.
                self.sql.deleteEntry.bind(1, inbox)
                self.sql.deleteEntry.bind(2, Int64(priority.rawValue))
                self.sql.deleteEntry.bind(3, message.offset)
                try self.sql.deleteEntry.run()
            }
        }
    }

    /// Takes what a device has acked out of its own inbox.
    func trimAcked(_ key: DeviceKey, from trimmed: Positions, to acked: Positions, _ group: inout Group) throws {
        let advanced = Priority.allCases.filter { acked[Lane(.device, $0)] > trimmed[Lane(.device, $0)] }
        guard !advanced.isEmpty, let inbox = try self.knownInbox(.device(key.name, in: key.app)) else { return }
        for priority in advanced {
            let lane = LaneKey(inbox, priority)
            let upTo = acked[Lane(.device, priority)]
            let stats = self.sql.laneStats
            defer { stats.reset() }
            stats.bind(1, inbox)
            stats.bind(2, Int64(priority.rawValue))
            let dropped = group.drops[lane] ?? 0
            let unindexed = self.shared.memtable.withLock { memtable in
                stats.bind(3, min(upTo, memtable.indexed))
                return memtable.messages(lane, after: dropped, limit: 1 << 40).found.filter { $0.offset <= upTo }
            }
            if try stats.step() { self.shrink(inbox, by: Int(stats.integer(1)), count: Int(stats.integer(0))) }
            for message in unindexed { self.shrink(inbox, by: message.weight) }
            stats.reset()
            try self.delete(lane, upTo: upTo)
            if upTo > dropped { group.drops[lane] = upTo }
        }
    }
}
