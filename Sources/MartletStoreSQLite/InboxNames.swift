import MartletCore

/// Finds an inbox by its id.
enum InboxNames {
    static let sql = "SELECT app, scope, name FROM inbox WHERE id = ?"

    static func find(_ id: Int64, _ db: Connection) throws(SQLiteError) -> InboxKey? {
        try Self.find(id, with: db.prepare(Self.sql))
    }

    static func find(_ id: Int64, with statement: Statement) throws(SQLiteError) -> InboxKey? {
        defer { statement.reset() }
        statement.bind(1, id)
        guard try statement.step() else { return nil }
        return InboxKey(
            app: AppID(UInt32(truncatingIfNeeded: statement.integer(0))),
            scope: Scope(rawValue: UInt8(truncatingIfNeeded: statement.integer(1))) ?? .user,
            name: statement.text(2) ?? "")
    }
}
