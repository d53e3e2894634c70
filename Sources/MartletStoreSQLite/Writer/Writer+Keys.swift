import MartletCore
import MartletWire

/// Remembers idempotency keys, at most `idempotencyEntries` of an app.
extension Writer {
    /// Counts what the file holds, at the start.
    static func countKeys(_ db: Connection) throws(SQLiteError) -> [AppID: Int] {
        var counts: [AppID: Int] = [:]
        let select = try db.prepare("SELECT app, count(*) FROM idempotency GROUP BY app")
        while try select.step() { counts[AppID(UInt32(truncatingIfNeeded: select.integer(0)))] = Int(select.integer(1)) }
        return counts
    }

    /// What is known of a key, even past its time.
    func known(
        _ idempotency: AppendRequest.Idempotency, _ app: AppID
    ) throws -> (outcome: AppendOutcome, expires: Int64)? {
        let select = self.sql.selectKey
        defer { select.reset() }
        select.bind(1, Int64(app.rawValue))
        select.bind(2, idempotency.key)
        guard try select.step() else { return nil }
        let isSame = select.bytes(0) == idempotency.digest
        let id = MessageID(high: select.unsigned(1), low: select.unsigned(2))
        return (isSame ? .stored(id, repeated: true) : .conflict, select.integer(3))
    }

    /// Writes a key; above the limit its app's oldest give way.
    func remember(
        _ idempotency: AppendRequest.Idempotency, _ app: AppID, as id: MessageID, replaces: Bool, _ group: inout Group
    ) throws {
        let insert = self.sql.insertKey
        insert.bind(1, Int64(app.rawValue))
        insert.bind(2, idempotency.key)
        insert.bind(3, idempotency.digest)
        insert.bind(4, id.high)
        insert.bind(5, id.low)
        insert.bind(6, self.now + Int64(self.configuration.limits.idempotencySeconds) * 1_000)
        try insert.run()
        if !replaces { group.keys[app, default: 0] += 1 }
        // Two at a time: after the limit was lowered it is reached in small steps.
        try self.dropOldestKeys(of: app, atMost: 2, but: idempotency.key, &group)
    }

    /// Deletes keys past their time, and some of those above the limit.
    ///
    /// - Returns: whether there may be more.
    func sweepKeys(_ group: inout Group) throws -> Bool {
        var room = 200
        for app in self.keyCounts.keys where room > 0 {
            let sweep = self.sql.sweepKeys
            sweep.bind(1, Int64(app.rawValue))
            sweep.bind(2, self.now)
            sweep.bind(3, Int64(room))
            try sweep.run()
            group.keys[app, default: 0] -= sweep.changes
            room -= sweep.changes
            room -= try self.dropOldestKeys(of: app, atMost: room, but: nil, &group)
        }
        return room <= 0
    }

    @discardableResult
    private func dropOldestKeys(of app: AppID, atMost most: Int, but key: String?, _ group: inout Group) throws -> Int {
        let count = self.keyCounts[app, default: 0] + group.keys[app, default: 0]
        let excess = min(count - self.configuration.limits.idempotencyEntries, most)
        guard excess > 0 else { return 0 }
        let drop = self.sql.dropKeys
        drop.bind(1, Int64(app.rawValue))
        drop.bind(2, key)
        drop.bind(3, Int64(excess))
        try drop.run()
        group.keys[app, default: 0] -= drop.changes
        return drop.changes
    }
}
