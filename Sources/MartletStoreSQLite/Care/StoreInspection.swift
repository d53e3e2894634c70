import GRDBSQLite
package import MartletCore

/// What can be found out about a store's database file without changing it, also while a server is using it, and also
/// when it is damaged: what could not be found out is nil.
package struct StoreInspection: Sendable {
    /// Why the file cannot be read as a database at all.
    package var failure: String?
    /// The schema's version, and the newest that this program knows.
    package var schema: Int?
    package static let knownSchema = Migrations.steps.count
    /// What is wrong inside; nil if it was not looked at.
    package var damage: [String]?
    /// Whether the last run ended by a shutdown; false while a server runs.
    package var isClean: Bool?
    package var durability: String?
    package var epoch: String?
    package var clock: ClockSample?
    package var messages: Int?
    /// When the oldest message that can still be delivered, and the newest one, were stored: Unix time in milliseconds.
    package var oldestMs: Int64?
    package var newestMs: Int64?
    package var devices: Int?
    package var inboxes: Int?
    package var topics: Int?
    package var idempotencyKeys: Int?
    /// When the oldest overdue clean-up was due, by the server's clock; nil if nothing is due.
    package var dueMs: Int64?
    package var largest: [Inbox] = []
    /// Whether somebody put a backup here without `martlet restore`, and no server has started on it yet.
    package var isUnrestoredBackup = false

    /// How full an inbox is.
    package struct Inbox: Sendable {
        /// `user alice`
        package var name: String
        package var messages: Int
        package var bytes: Int
    }

    package enum Check: Sendable { case none, quick, full }

    /// - Parameters:
    ///   - isInUse: whether a server runs on it.
    ///   - limits: how full an inbox may be; those over 80 % are named.
    package init(
        folder: String, isInUse: Bool, check: Check, limits: Limits, observer: @escaping CareObserver
    ) {
        let path = folder + "/" + SQLiteStore.fileName
        do {
            let db = try Self.open(path, isInUse: isInUse)
            defer { db.close() }
            let version = Int(try db.integer("PRAGMA user_version") ?? 0)
            self.schema = version
            guard version > 0, version <= Self.knownSchema else { return }
            if check != .none {
                do {
                    self.damage = try PageCopy.check(db, isFull: check == .full, observer: observer)
                } catch  where error.primaryCode == SQLITE_INTERRUPT {
                } catch {
                    self.damage = [error.description]
                }
            }
            self.look(into: db, limits)
        } catch {
            self.failure = error.description
        }
    }

    fileprivate static func open(_ path: String, isInUse: Bool) throws(SQLiteError) -> Connection {
        let hasLog = Files.bytes(path + "-wal") > 0
        // Without a server and a log nobody writes: then nothing is made beside the file either.
        let frozen = !isInUse && !hasLog
        do {
            let db = try Connection(path: path, readOnly: true, isFrozen: frozen)
            _ = try db.integer("SELECT count(*) FROM sqlite_schema")
            return db
        } catch  where !frozen && (error.primaryCode == SQLITE_CANTOPEN || error.primaryCode == SQLITE_READONLY) {
            // In a folder that cannot be written, SQLite cannot share the file: the log is left out.
            let db = try Connection(path: path, readOnly: true, isFrozen: true)
            _ = try db.integer("SELECT count(*) FROM sqlite_schema")
            return db
        }
    }

    /// Each question by itself: one damaged table must not hide the others.
    private mutating func look(into db: Connection, _ limits: Limits) {
        let meta = { (key: String) in Self.text(db, "SELECT CAST(value AS TEXT) FROM meta WHERE key = '\(key)'") }
        let number = { (sql: String) in Self.text(db, sql).flatMap { Int64($0) } }
        self.isClean = meta("clean").map { $0 == "1" || $0 == NewHistory.unclean }
        self.durability = meta("durability")
        self.epoch = meta("epoch")
        self.clock = meta("clock").flatMap(ClockSample.init(text:))
        self.isUnrestoredBackup = (try? BackupFile.isBackup(db)) ?? false
        self.messages = number("SELECT count(*) FROM message").map(Int.init)
        self.oldestMs = number("SELECT m.at FROM body b JOIN message m ON m.offset = b.offset ORDER BY b.offset LIMIT 1")
        self.newestMs = number("SELECT at FROM message ORDER BY offset DESC LIMIT 1")
        self.devices = number("SELECT count(*) FROM device").map(Int.init)
        self.inboxes = number("SELECT count(*) FROM inbox").map(Int.init)
        // A file of an older schema has none.
        self.topics = number("SELECT count(*) FROM topic").map(Int.init)
        self.idempotencyKeys = number("SELECT count(*) FROM idempotency").map(Int.init)
        self.dueMs = number("SELECT at FROM expiry ORDER BY at LIMIT 1")
        self.largest = (try? Self.fullInboxes(db, limits)) ?? []
    }

    private static func text(_ db: Connection, _ sql: String) -> String? {
        guard let select = try? db.prepare(sql) else { return nil }
        defer { select.reset() }
        guard (try? select.step()) == true else { return nil }
        return select.text(0)
    }

    private static func fullInboxes(_ db: Connection, _ limits: Limits) throws(SQLiteError) -> [Inbox] {
        let select = try db.prepare(
            """
            SELECT i.scope, i.name, n, bytes FROM
                (SELECT inbox, count(*) AS n, sum(size) AS bytes FROM entry GROUP BY inbox
                 HAVING n >= ? OR bytes >= ?) LEFT JOIN inbox i ON i.id = inbox
            ORDER BY bytes DESC LIMIT 10
            """)
        defer { select.reset() }
        select.bind(1, limits.inboxMessages / 10 * 8)
        select.bind(2, limits.inboxBytes / 10 * 8)
        var inboxes: [Inbox] = []
        while try select.step() {
            let scope = Scope(rawValue: UInt8(truncatingIfNeeded: select.integer(0))).map { "\($0)" } ?? "inbox"
            inboxes.append(
                Inbox(
                    name: "\(scope) \(select.text(1) ?? "?")", messages: Int(select.integer(2)),
                    bytes: Int(select.integer(3))))
        }
        return inboxes
    }
}

/// The database of keys beside a store, looked at in the same way.
package struct DirectoryInspection: Sendable {
    /// What is wrong with it; empty if nothing is, nil if there is none.
    package var damage: [String]?

    package init(folder: String, isInUse: Bool) {
        let path = folder + "/" + BackupFile.directoryName
        guard Files.exists(path) else { return }
        do {
            let db = try StoreInspection.open(path, isInUse: isInUse)
            defer { db.close() }
            self.damage = try PageCopy.check(db) { _ in true }
        } catch {
            self.damage = [error.description]
        }
    }
}
