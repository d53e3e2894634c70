import GRDBSQLite
import MartletCore
import MartletWire
import Synchronization

/// Answers `read` and `status` on one connection.
final class Reader {
    let db: Connection
    let shared: Shared
    let begin, commit: Statement
    private let newest, indexed, inbox: Statement
    let places: [Statement]
    let collapse, message, trim, superseded: Statement
    let search, header, inboxName: Statement
    let userDevices, oneDevice, allDevices, journal: Statement
    let topic: TopicReadings

    init(db: Connection, shared: Shared) throws {
        self.db = db
        self.shared = shared
        try db.execute("PRAGMA query_only = 1; PRAGMA cache_size = -8192")
        self.begin = try db.prepare("BEGIN")
        self.commit = try db.prepare("COMMIT")
        self.newest = try db.prepare("SELECT max(offset) FROM message")
        self.indexed = try db.prepare("SELECT value FROM meta WHERE key = 'indexed'")
        self.inbox = try db.prepare("SELECT id FROM inbox WHERE app = ? AND scope = ? AND name = ?")
        self.places = try (0..<3).map { _ in
            try db.prepare(
                """
                SELECT e.offset, m.high, m.low, m.flags, m.at, m.expires, m.collapse, b.fragment, m.marks
                FROM entry e CROSS JOIN message m ON m.offset = e.offset CROSS JOIN body b ON b.offset = e.offset
                WHERE e.inbox = ? AND e.priority = ? AND e.offset > ? AND e.offset <= ? ORDER BY e.offset
                """)
        }
        self.collapse = try db.prepare("SELECT offset FROM collapse WHERE inbox = ? AND key = ?")
        self.message = try db.prepare(
            """
            SELECT m.offset, m.high, m.low, m.flags, m.at, m.expires, m.collapse, b.fragment, m.marks, m.priority
            FROM message m JOIN body b ON b.offset = m.offset WHERE m.offset = ?
            """)
        self.topic = try TopicReadings(db)
        self.trim = try db.prepare("SELECT upto, until FROM trim WHERE inbox = ? AND priority = ?")
        self.superseded = try db.prepare("SELECT at FROM superseded WHERE offset = ? AND inbox = ?")
        self.search = try db.prepare(MessageSearch.sql)
        self.header = try db.prepare(
            "SELECT app, flags, priority, at, expires, recalled_at, targets FROM message WHERE offset = ?")
        self.inboxName = try db.prepare(InboxNames.sql)
        let columns = "\(DeviceState.columns), name"
        self.userDevices = try db.prepare("SELECT \(columns) FROM device WHERE app = ? AND user = ? ORDER BY name")
        self.oneDevice = try db.prepare("SELECT \(columns) FROM device WHERE app = ? AND name = ?")
        self.allDevices = try db.prepare("SELECT \(columns) FROM device WHERE app = ? ORDER BY name")
        self.journal = try db.prepare(
            """
            SELECT start, at FROM journal WHERE device = ? AND kind = ? AND lane = ? AND upto >= ?
            ORDER BY upto LIMIT 16
            """
        )
    }

    func close() { self.db.close() }

    /// What a reading may rely on: the database and the memtable as of the same commit.
    struct Snapshot {
        var end: UInt64
        var indexed: UInt64
    }

    /// Runs `find` and `body` on one snapshot of the database, with what `pick` takes from the memtable at the same
    /// commit.
    ///
    /// A commit is in the database a moment before it is in the memtable: then it is tried again.
    func snapshot<Found: Sendable, Picked: Sendable, Value>(
        find: () throws -> Found, pick: (borrowing Memtable, Snapshot, Found) -> Picked,
        body: (Snapshot, Found, Picked) throws -> Value
    ) throws -> Value {
        for _ in 0..<200 {
            let seen = self.shared.published.withLock { published in
                published.waiting += 1
                return published.count
            }
            defer { self.shared.published.withLock { $0.waiting -= 1 } }
            if let value = try self.attempt(find: find, pick: pick, body: body) { return value }
            _ = self.shared.published.wait(timeoutMs: 5) { $0.count != seen ? true : nil }
        }
        throw SQLiteError(code: SQLITE_BUSY, message: "no consistent snapshot could be taken")
    }

    /// - Returns: nil if the database and the memtable are of different commits.
    private func attempt<Found: Sendable, Picked: Sendable, Value>(
        find: () throws -> Found, pick: (borrowing Memtable, Snapshot, Found) -> Picked,
        body: (Snapshot, Found, Picked) throws -> Value
    ) throws -> Value? {
        try self.begin.run()
        defer { try? self.commit.run() }
        let end = try self.value(self.newest)
        let indexed = try self.value(self.indexed)
        let snapshot = Snapshot(end: end, indexed: indexed)
        let found = try find()
        let picked = self.shared.memtable.withLock { memtable in
            memtable.end == end && memtable.indexed <= indexed ? pick(memtable, snapshot, found) : nil
        }
        guard let picked else { return nil }
        return try body(snapshot, found, picked)
    }

    private func value(_ statement: Statement) throws -> UInt64 {
        defer { statement.reset() }
        return try statement.step() ? statement.unsigned(0) : 0
    }

    func inboxID(_ key: InboxKey) throws -> Int64? {
        defer { self.inbox.reset() }
        self.inbox.bind(1, Int64(key.app.rawValue))
        self.inbox.bind(2, Int64(key.scope.rawValue))
        self.inbox.bind(3, key.name)
        return try self.inbox.step() ? self.inbox.integer(0) : nil
    }

    /// Makes the message of a row of ``places`` or ``message``.
    func message(_ row: Statement, _ priority: Priority) -> StoredMessage {
        StoredMessage(
            id: MessageID(high: row.unsigned(1), low: row.unsigned(2)), offset: row.unsigned(0), priority: priority,
            at: row.integer(4), expiresAt: row.integer(5), collapseKey: row.text(6), marks: MessageMarks(rawValue: row.unsigned(8)),
            fragment: row.bytes(7))
    }
}
