/// How the topics of a namespace behave.
package struct TopicOptions: Equatable, Sendable {
    /// Which clients may do something; back ends with an API key always may.
    package enum Access: String, CaseIterable, Sendable {
        /// Every client that may connect.
        case all
        /// Those whose token names it.
        case token
        case none
    }

    package enum Storage: String, CaseIterable, Sendable {
        case memory
        case durable
    }

    /// Messages kept for those who come later or were away; 0 keeps none. Default 0.
    package var historyMessages = 0
    /// Age up to which they are kept, in seconds. Default one day.
    package var historySeconds = 86_400
    /// Bytes of them. Default 1 MiB.
    package var historyBytes = 1_048_576
    /// Where history and the retained value are kept. Default memory.
    package var storage = Storage.memory
    /// Whether it is known who is there. Default no.
    package var presence = false
    /// Which clients may subscribe (and read history). Default those whose token names the topic.
    package var subscribe = Access.token
    /// Which clients may publish. Default those whose token names the topic.
    package var publish = Access.token

    package init() {}

    package var keepsHistory: Bool { self.historyMessages > 0 }

    /// Where a message goes; nil if it is only handed to those who are there.
    package var log: TopicLogKind? {
        guard self.keepsHistory else { return nil }
        return self.storage == .durable ? .durable : .memory
    }
}

/// Knows the options of every topic.
package protocol TopicNamespaces: Sendable {
    /// The options of a topic or filter, from memory: called for each publish and subscribe. A topic's namespace is its first level.
    ///
    /// A filter that begins with a wildcard spans namespaces: it gets the default options, but may do only what every namespace allows.
    func options(of topic: String, in app: AppID) -> TopicOptions
}

/// The namespace that a topic or filter is in: its first level.
///
/// - Returns: nil for a filter that begins with a wildcard, which is in none.
package func topicNamespace(_ topic: String) -> Substring? {
    let first = topic.utf8.firstIndex(of: UInt8(ascii: "/")).map { topic[..<$0] } ?? topic[...]
    return first == "+" || first == "#" ? nil : first
}
