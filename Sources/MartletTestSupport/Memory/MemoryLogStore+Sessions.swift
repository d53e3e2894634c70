import MartletCore

extension MemoryLogStore {
    /// Changes all of the records, or none.
    func save(_ sessions: [SessionSave]) -> StoreError? {
        if case .failure(let error) = self.canStore { return error }
        for session in sessions { self.disk.tables.save(session) }
        return nil
    }
}

extension MemoryTables {
    mutating func save(_ session: SessionSave) {
        switch session.change {
        case .set(let settings, let state):
            var row = self.sessions[session.key] ?? SessionRow(key: session.key, settings: [], state: [])
            row.settings = settings ?? row.settings
            row.state = state ?? row.state
            self.sessions[session.key] = row
        case .delete: self.sessions[session.key] = nil
        }
    }

    /// By app and name, as bytes compare.
    var sessionRows: [SessionRow] {
        self.sessions.values.sorted {
            $0.key.app == $1.key.app
                ? $0.key.name.utf8.lexicographicallyPrecedes($1.key.name.utf8) : $0.key.app.rawValue < $1.key.app.rawValue
        }
    }
}
