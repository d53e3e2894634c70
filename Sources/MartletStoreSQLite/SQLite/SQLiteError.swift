import GRDBSQLite

/// What SQLite answered instead of doing what it was asked.
struct SQLiteError: Error, CustomStringConvertible {
    /// The extended result code, https://www.sqlite.org/rescode.html.
    var code: Int32
    var message: String

    /// The result code without its extension.
    var primaryCode: Int32 { self.code & 0xff }

    var description: String { "SQLite \(self.code): \(self.message)" }
}
