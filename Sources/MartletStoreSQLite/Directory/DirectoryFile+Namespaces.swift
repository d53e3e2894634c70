import MartletCore

/// What was set for namespaces of topics.
extension DirectoryFile {
    func namespaces() throws(StoreStartError) -> [TopicKey: TopicOptionsChange] {
        try self.guarded {
            let select = try self.db.prepare(
                "SELECT app, name, messages, age, bytes, storage, presence, subscribe, publish FROM namespace")
            var namespaces: [TopicKey: TopicOptionsChange] = [:]
            while try select.step() {
                let key = TopicKey(app: AppID(UInt32(truncatingIfNeeded: select.integer(0))), name: select.text(1) ?? "")
                func number(_ column: Int32) -> Int? { select.isNull(column) ? nil : Int(select.integer(column)) }
                var change = TopicOptionsChange()
                change.historyMessages = number(2)
                change.historySeconds = number(3)
                change.historyBytes = number(4)
                change.storage = select.text(5).flatMap { TopicOptions.Storage(rawValue: $0) }
                change.presence = number(6).map { $0 != 0 }
                // A word that is not known here must not open what it would have closed.
                change.subscribe = select.text(7).map { TopicOptions.Access(rawValue: $0) ?? TopicOptions.Access.none }
                change.publish = select.text(8).map { TopicOptions.Access(rawValue: $0) ?? TopicOptions.Access.none }
                namespaces[key] = change
            }
            return namespaces
        }
    }

    /// - Parameter change: nil removes it.
    func setNamespace(_ key: TopicKey, _ change: TopicOptionsChange?) throws(StoreStartError) {
        try self.guarded {
            guard let change else {
                let delete = try self.db.prepare("DELETE FROM namespace WHERE app = ? AND name = ?")
                delete.bind(1, Int64(key.app.rawValue))
                delete.bind(2, key.name)
                return try delete.run()
            }
            let insert = try self.db.prepare("INSERT OR REPLACE INTO namespace VALUES (?,?,?,?,?,?,?,?,?)")
            insert.bind(1, Int64(key.app.rawValue))
            insert.bind(2, key.name)
            if let messages = change.historyMessages { insert.bind(3, Int64(messages)) }
            if let seconds = change.historySeconds { insert.bind(4, Int64(seconds)) }
            if let bytes = change.historyBytes { insert.bind(5, Int64(bytes)) }
            if let storage = change.storage { insert.bind(6, storage.rawValue) }
            if let presence = change.presence { insert.bind(7, presence ? 1 : 0) }
            if let subscribe = change.subscribe { insert.bind(8, subscribe.rawValue) }
            if let publish = change.publish { insert.bind(9, publish.rawValue) }
            try insert.run()
        }
    }
}
