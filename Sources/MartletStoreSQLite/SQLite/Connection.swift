import GRDBSQLite

/// A connection to a database file, for one thread at a time.
final class Connection {
    let handle: OpaquePointer
    private(set) var isOpen = true

    /// - Parameters:
    ///   - isFrozen: nobody writes to the file, so SQLite reads it without locks and without files beside it.
    ///   - vfs: the name of a registered file system; nil is SQLite's own.
    init(path: String, readOnly: Bool = false, isFrozen: Bool = false, vfs: String? = nil) throws(SQLiteError) {
        var handle: OpaquePointer?
        var flags = (readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOMUTEX
        if isFrozen { flags |= SQLITE_OPEN_URI }
        let code = sqlite3_open_v2(isFrozen ? Self.frozenURI(path) : path, &handle, flags, vfs)
        guard code == SQLITE_OK, let handle else {
            let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(handle)
            throw SQLiteError(code: code, message: message)
        }
        self.handle = handle
        sqlite3_extended_result_codes(handle, 1)
        sqlite3_busy_timeout(handle, 5_000)
    }

    deinit { self.close() }

    /// `file:` with the path escaped, and SQLite's word for a file that does not change.
    private static func frozenURI(_ path: String) -> String {
        var uri = Array("file:".utf8)
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "?"): uri += Array("%3f".utf8)
            case UInt8(ascii: "#"): uri += Array("%23".utf8)
            case UInt8(ascii: "%"): uri += Array("%25".utf8)
            default: uri.append(byte)
            }
        }
        return String(decoding: uri, as: UTF8.self) + "?immutable=1"
    }

    /// Closes it. Statements of it must not be used afterwards.
    func close() {
        guard self.isOpen else { return }
        self.isOpen = false
        // SQLite keeps a connection open behind the scenes while it has statements.
        while let statement = sqlite3_next_stmt(self.handle, nil) { sqlite3_finalize(statement) }
        sqlite3_close_v2(self.handle)
    }

    /// Whether no transaction is open.
    var isAutocommit: Bool { sqlite3_get_autocommit(self.handle) != 0 }

    /// Runs statements that return no rows.
    func execute(_ sql: String) throws(SQLiteError) {
        let code = sqlite3_exec(self.handle, sql, nil, nil, nil)
        if code != SQLITE_OK { throw self.error(code) }
    }

    /// Compiles a statement to be used many times.
    func prepare(_ sql: String) throws(SQLiteError) -> Statement {
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(self.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw self.error(code) }
        return Statement(handle: statement, connection: self)
    }

    /// The first column of a statement's first row; nil if there is none.
    func integer(_ sql: String) throws(SQLiteError) -> Int64? {
        let statement = try self.prepare(sql)
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : nil
    }

    /// Moves pages from the log into the database file.
    ///
    /// - Returns: the pages in the log and those of them that have been moved.
    @discardableResult
    func checkpoint(_ mode: Int32) throws(SQLiteError) -> (log: Int32, moved: Int32) {
        var log: Int32 = 0
        var moved: Int32 = 0
        let code = sqlite3_wal_checkpoint_v2(self.handle, nil, mode, &log, &moved)
        if code != SQLITE_OK { throw self.error(code) }
        return (log, moved)
    }

    /// Moves the whole log into the database file, and waits for others that read.
    ///
    /// - Parameter isOptional: whether the log may stay, flushed, while somebody reads for long (a backup). It may
    ///   unless the database file is written without flushes.
    func emptyLog(isOptional: Bool) throws(SQLiteError) {
        if isOptional { sqlite3_busy_timeout(self.handle, 500) }
        defer { sqlite3_busy_timeout(self.handle, 5_000) }
        do {
            try self.checkpoint(SQLITE_CHECKPOINT_TRUNCATE)
        } catch  where isOptional && error.primaryCode == SQLITE_BUSY {}
    }

    func error(_ code: Int32) -> SQLiteError {
        SQLiteError(code: code, message: String(cString: sqlite3_errmsg(self.handle)))
    }
}
