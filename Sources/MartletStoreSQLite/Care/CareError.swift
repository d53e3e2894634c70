import GRDBSQLite

/// Why a store could not be backed up or restored: plain sentences for the operator, the last one says what to do.
package struct CareError: Error, Equatable, CustomStringConvertible, Sendable {
    package var description: String

    package init(_ description: String) { self.description = description }

    /// In an operator's words what SQLite said about a file.
    init(_ error: SQLiteError, about path: String) {
        self.description =
            switch error.primaryCode {
            case SQLITE_NOTADB, SQLITE_CORRUPT: "\(path) is damaged or no store (\(error))."
            case SQLITE_FULL: "There is no space left for \(path)."
            case SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_READONLY, SQLITE_AUTH:
                "\(path) cannot be opened (\(error)): run this as the user that the server runs as."
            case SQLITE_BUSY, SQLITE_LOCKED: "\(path) is busy (\(error)): try again in a moment."
            default: "\(path) cannot be read or written (\(error))."
            }
    }
}

/// How far copying or checking is.
package struct CareProgress: Sendable {
    package enum Phase: Sendable { case copying, checking }

    package var phase: Phase
    /// Bytes copied, and in all; 0 while checking.
    package var bytes: Int
    package var totalBytes: Int
}

/// Tells how far it is; called often. Returns false to end the work.
package typealias CareObserver = (CareProgress) -> Bool
