/// The schema, as steps that each add to the one before. A step is never edited after a release.
enum Migrations {
    /// Step n brings the file from `user_version` n to n + 1.
    static let steps: [String] = [Self.logStore, Self.idempotencyAge, Self.topics, Self.sessions]

    /// Brings a database file to the newest schema.
    ///
    /// - Throws: ``StoreStartError`` if the file has a newer schema than this.
    static func run(on connection: Connection) throws {
        let version = Int(try connection.integer("PRAGMA user_version") ?? 0)
        guard version <= Self.steps.count else {
            throw StoreStartError(
                "The store was written by a newer Martlet (schema \(version), this one knows \(Self.steps.count)): start that version."
            )
        }
        for (index, step) in Self.steps.enumerated().dropFirst(version) {
            try connection.execute("BEGIN IMMEDIATE; \(step); PRAGMA user_version = \(index + 1); COMMIT")
        }
    }
}
