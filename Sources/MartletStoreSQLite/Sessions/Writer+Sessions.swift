import MartletCore

/// Writes the records of sessions.
extension Writer {
    /// Takes a change into the group.
    func save(_ save: SessionSave, _ group: inout Group) {
        group.sessions[save.key, default: .set(settings: nil, state: nil)].add(save.change)
    }

    /// Writes what the group has changed of sessions.
    func writeSessions(_ group: inout Group) throws {
        guard !group.sessions.isEmpty else { return }
        try self.begin(&group)
        let statement = (upsert: self.sql.upsertSession, delete: self.sql.deleteSession)
        for (key, change) in group.sessions {
            switch change {
            case .set(let settings, let state):
                statement.upsert.bind(1, Int64(key.app.rawValue))
                statement.upsert.bind(2, key.name)
                statement.upsert.bind(3, settings)
                statement.upsert.bind(4, state)
                try statement.upsert.run()
            case .delete:
                statement.delete.bind(1, Int64(key.app.rawValue))
                statement.delete.bind(2, key.name)
                try statement.delete.run()
            }
        }
        group.sessions.removeAll()
    }
}

extension SessionSave {
    /// What it counts for in the queue, in bytes.
    var weight: Int {
        guard case .set(let settings, let state) = self.change else { return 64 }
        return 64 + (settings?.count ?? 0) + (state?.count ?? 0)
    }
}

extension SessionSave.Change {
    /// Makes it what comes of both, one after the other.
    fileprivate mutating func add(_ next: Self) {
        switch (self, next) {
        case (_, .delete): self = .delete
        // The new record has nothing of the deleted one.
        case (.delete, .set(let settings, let state)): self = .set(settings: settings ?? [], state: state ?? [])
        case (.set(let oldSettings, let oldState), .set(let settings, let state)):
            self = .set(settings: settings ?? oldSettings, state: state ?? oldState)
        }
    }
}
