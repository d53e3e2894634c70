import MartletWire

/// Finds a message by its id: ids grow as offsets do, so no index is needed.
enum MessageSearch {
    static let sql = "SELECT offset, high, low FROM message WHERE offset >= ? ORDER BY offset LIMIT 1"

    /// - Parameters:
    ///   - statement: ``sql``.
    ///   - end: the largest offset there may be.
    /// - Returns: the offset; nil if there is no such message.
    static func offset(of id: MessageID, upTo end: UInt64, with statement: Statement) throws(SQLiteError) -> UInt64? {
        defer { statement.reset() }
        var low: UInt64 = 0
        var high = end
        while low <= high {
            let middle = low + (high - low) / 2
            statement.reset()
            statement.bind(1, middle)
            guard try statement.step(), statement.unsigned(0) <= high else {
                if middle == 0 { return nil }
                high = middle - 1
                continue
            }
            let found = MessageID(high: statement.unsigned(1), low: statement.unsigned(2))
            let offset = statement.unsigned(0)
            if found == id { return offset }
            if found < id {
                low = offset + 1
            } else {
                if middle == 0 { return nil }
                high = middle - 1
            }
        }
        return nil
    }
}
