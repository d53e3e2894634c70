import GRDBSQLite

/// A compiled statement. Bind, step, read, reset.
final class Statement {
    private let handle: OpaquePointer
    private let connection: Connection

    init(handle: OpaquePointer, connection: Connection) {
        self.handle = handle
        self.connection = connection
    }

    deinit {
        if self.connection.isOpen { sqlite3_finalize(self.handle) }
    }

    /// Tells SQLite to copy what is bound.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(self.handle, index, value) }
    func bind(_ index: Int32, _ value: Int) { sqlite3_bind_int64(self.handle, index, Int64(value)) }
    func bind(_ index: Int32, _ value: UInt64) { sqlite3_bind_int64(self.handle, index, Int64(bitPattern: value)) }

    func bind(_ index: Int32, _ value: String?) {
        guard var value else {
            sqlite3_bind_null(self.handle, index)
            return
        }
        value.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { chars in
                // An empty buffer has no address, and a null address binds NULL.
                if let start = chars.baseAddress {
                    _ = sqlite3_bind_text(self.handle, index, start, Int32(chars.count), Self.transient)
                } else {
                    _ = sqlite3_bind_text(self.handle, index, "", 0, Self.transient)
                }
            }
        }
    }

    func bind(_ index: Int32, _ value: [UInt8]?) {
        guard let value else {
            sqlite3_bind_null(self.handle, index)
            return
        }
        value.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress, !bytes.isEmpty {
                _ = sqlite3_bind_blob(self.handle, index, start, Int32(bytes.count), Self.transient)
            } else {
                _ = sqlite3_bind_zeroblob(self.handle, index, 0)
            }
        }
    }

    /// Goes to the next row.
    ///
    /// - Returns: whether there is one.
    func step() throws(SQLiteError) -> Bool {
        let code = sqlite3_step(self.handle)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default:
            let error = self.connection.error(code)
            sqlite3_reset(self.handle)
            throw error
        }
    }

    /// Runs a statement that returns no rows, and resets it.
    func run() throws(SQLiteError) {
        while try self.step() {}
        sqlite3_reset(self.handle)
    }

    func reset() { sqlite3_reset(self.handle) }

    /// Rows that the last run changed.
    var changes: Int { Int(sqlite3_changes(self.connection.handle)) }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(self.handle, column) == SQLITE_NULL }
    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(self.handle, column) }
    func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: sqlite3_column_int64(self.handle, column)) }

    func bytes(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(self.handle, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(self.handle, column))))
    }

    func text(_ column: Int32) -> String? {
        guard let start = sqlite3_column_text(self.handle, column) else { return nil }
        return String(
            decoding: UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(self.handle, column))),
            as: UTF8.self)
    }
}
