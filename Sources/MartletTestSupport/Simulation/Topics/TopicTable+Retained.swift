package import MartletCore

extension TopicTable {
    /// The retained values of all topics that match a filter, at most `limit`, by topic: read a few names at a time, as sessions do.
    package func retained(_ filter: TopicFilter, app: AppID, limit: Int, now: Int64) -> [TopicSlice.Entry] {
        var entries: [TopicSlice.Entry] = []
        var after: String?
        repeat {
            let page = self.retainedNames(filter, app: app, after: after, limit: 7, looks: 11)
            for name in page.names {
                if let message = self.retained(name, app: app, now: now) { entries.append(.init(topic: name, message: message)) }
            }
            after = page.reached
        } while after != nil && entries.count < limit
        return Array(entries.prefix(limit))
    }
}
