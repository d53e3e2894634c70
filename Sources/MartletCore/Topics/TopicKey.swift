/// Names one topic of an app.
package struct TopicKey: Hashable, Sendable {
    package var app: AppID
    package var name: String

    package init(app: AppID, name: String) {
        self.app = app
        self.name = name
    }

    package static func == (left: TopicKey, right: TopicKey) -> Bool { left.app == right.app && isSameName(left.name, right.name) }
}

/// Where the messages of a topic are kept. Each has offsets of its own, which grow over all its topics together.
package enum TopicLogKind: UInt8, CaseIterable, Sendable {
    /// In the memory of this server: gone when it stops.
    case memory = 0
    /// In the ``LogStore``.
    case durable = 1
}
