import GRDBSQLite

/// What a backup file holds besides the store's tables: one more table with notes, and the directory of keys.
///
/// So a backup is one file. Its presence in a data folder also tells that somebody put a backup there by hand.
enum BackupFile {
    static let table = "martlet_backup"
    /// The database of keys, apps and revocations beside the store.
    static let directoryName = "directory.db"

    struct Notes {
        /// When it was made, Unix time in milliseconds.
        var madeAtMs: Int64 = 0
        /// Rows of `message`.
        var messages = 0
        /// The database file of keys, as it was; nil if there was none.
        var directory: [UInt8]?
    }

    static func write(_ notes: Notes, into db: Connection) throws(SQLiteError) {
        try db.execute("CREATE TABLE \(Self.table) (key TEXT PRIMARY KEY, value)")
        let insert = try db.prepare("INSERT INTO \(Self.table) (key, value) VALUES (?,?)")
        for (key, value) in [("format", 1), ("made_at", notes.madeAtMs), ("messages", Int64(notes.messages))] {
            insert.bind(1, key)
            insert.bind(2, value)
            try insert.run()
        }
        guard let directory = notes.directory else { return }
        insert.bind(1, "directory")
        insert.bind(2, directory)
        try insert.run()
    }

    /// The notes of a backup; nil if the file has none.
    static func read(_ db: Connection) throws(SQLiteError) -> Notes? {
        guard try self.isBackup(db) else { return nil }
        var notes = Notes()
        let select = try db.prepare("SELECT key, value FROM \(Self.table)")
        defer { select.reset() }
        while try select.step() {
            switch select.text(0) {
            case "made_at": notes.madeAtMs = select.integer(1)
            case "messages": notes.messages = Int(select.integer(1))
            case "directory": notes.directory = select.bytes(1)
            default: break
            }
        }
        return notes
    }

    static func isBackup(_ db: Connection) throws(SQLiteError) -> Bool {
        try db.integer("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '\(Self.table)'") != nil
    }

    /// A whole database as bytes, as it is at one moment.
    static func image(of path: String) throws(SQLiteError) -> [UInt8] {
        let source = try Connection(path: path, readOnly: true, isFrozen: !Files.exists(path + "-wal"))
        defer { source.close() }
        let memory = try Connection(path: ":memory:")
        defer { memory.close() }
        guard let backup = sqlite3_backup_init(memory.handle, "main", source.handle, "main") else {
            throw memory.error(sqlite3_errcode(memory.handle))
        }
        var code = sqlite3_backup_step(backup, -1)
        for _ in 0..<100 where code == SQLITE_BUSY || code == SQLITE_LOCKED {
            sqlite3_sleep(20)
            code = sqlite3_backup_step(backup, -1)
        }
        sqlite3_backup_finish(backup)
        guard code == SQLITE_DONE else { throw memory.error(code) }
        var size: sqlite3_int64 = 0
        guard let bytes = sqlite3_serialize(memory.handle, "main", &size, 0) else {
            throw SQLiteError(code: SQLITE_NOMEM, message: "out of memory")
        }
        defer { sqlite3_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: Int(size)))
    }
}

/// The end of one history and the beginning of another.
enum NewHistory {
    /// RAMEN numbers that the old history may have given out after the backup, for each device.
    static let skippedSeqs = 16_777_216

    /// What the store says of its last stop: not clean, but there was none either.
    static let unclean = "restored"

    /// Makes a copy of a store one that goes on differently from the original.
    ///
    /// A new epoch: positions that clients hold of the old history mean nothing here, and are told so by a `gap`. Every
    /// device may have been sent everything (the store counts as stopped uncleanly), and its RAMEN numbers go on far
    /// beyond those given out.
    static func begin(on db: Connection, random: () -> UInt64) throws(SQLiteError) {
        let before = UInt32(truncatingIfNeeded: try db.integer("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch'") ?? 0)
        var epoch = before
        while epoch == 0 || epoch == before { epoch = UInt32(truncatingIfNeeded: random() >> 16) }
        try db.execute(
            """
            BEGIN IMMEDIATE;
            INSERT OR REPLACE INTO meta (key, value) VALUES ('epoch', '\(epoch)'), ('clean', '\(Self.unclean)');
            UPDATE device SET seq_end = seq_end + \(Self.skippedSeqs);
            DROP TABLE IF EXISTS \(BackupFile.table);
            COMMIT
            """)
    }
}
