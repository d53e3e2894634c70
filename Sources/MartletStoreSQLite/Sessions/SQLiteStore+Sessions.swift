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

extension SQLiteStore {
    package func topics(
        beginningWith prefix: String, done: @escaping @Sendable (Result<(topics: [TopicKey], newest: UInt64), StoreError>) -> Void
    ) {
        let error = self.writer.submit(.barrier { [self] in self.onReader({ try $0.topics(beginningWith: prefix) }, done) })
        if let error { done(.failure(error)) }
    }
}

extension Reader {
    fileprivate func topics(beginningWith prefix: String) throws -> (topics: [TopicKey], newest: UInt64) {
        let select = try self.db.prepare("SELECT app, name FROM topic")
        var topics: [TopicKey] = []
        while try select.step() {
            guard let name = select.text(1), name.utf8.starts(with: prefix.utf8) else { continue }
            topics.append(TopicKey(app: AppID(UInt32(truncatingIfNeeded: select.integer(0))), name: name))
        }
        let last = try self.db.prepare("SELECT max(offset) FROM message")
        return (topics, try last.step() && !last.isNull(0) ? last.unsigned(0) : 0)
    }

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
