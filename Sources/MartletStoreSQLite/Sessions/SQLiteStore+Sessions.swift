package import MartletCore

extension SQLiteStore {
    package func trim(_ topic: TopicKey, upTo offset: UInt64) { _ = self.writer.submit(.trim(topic, upTo: offset)) }

    package func save(_ sessions: [SessionSave], done: @escaping @Sendable (StoreError?) -> Void) {
        if let error = self.writer.submit(.save(sessions, done)) { done(error) }
    }

    package func loadSessions(done: @escaping @Sendable (Result<[SessionRow], StoreError>) -> Void) {
        // Behind the commit of what was saved before it.
        let error = self.writer.submit(.barrier { [self] in self.onReader({ try $0.sessions() }, done) })
        if let error { done(.failure(error)) }
    }
}

extension Reader {
    fileprivate func sessions() throws -> [SessionRow] {
        let select = try self.db.prepare("SELECT app, name, settings, state FROM session")
        var rows: [SessionRow] = []
        while try select.step() {
            let key = DeviceKey(app: AppID(UInt32(truncatingIfNeeded: select.integer(0))), name: select.text(1) ?? "")
            rows.append(SessionRow(key: key, settings: select.bytes(2), state: select.bytes(3)))
        }
        return rows
    }
}
