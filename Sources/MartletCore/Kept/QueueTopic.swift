/// Where messages wait for sessions that are kept while their clients are away: a durable topic beside each topic that such a session
/// subscribes to with QoS 1 or 2, with a name that no client can say.
///
/// So what is kept for them neither shows in the history of the topic nor depends on its options, and is deleted when all have it.
package enum QueueTopic {
    /// `$`, so that no wildcard of a client's matches; then a character that names cannot have.
    package static let prefix = "$\u{1}/"

    /// The queue of a topic.
    package static func name(of topic: String) -> String { self.prefix + topic }

    /// The queues of the topics that a filter matches.
    package static func filter(of filter: TopicFilter) -> TopicFilter { TopicFilter(queueOf: filter) }

    package static func isQueue(_ name: String) -> Bool { name.utf8.starts(with: self.prefix.utf8) }

    /// The queues of all topics.
    package static let all = TopicFilter(queueOf: TopicFilter(topic: "#"), isWildcard: true)

    /// What a queue stands for.
    package static func original(of filter: TopicFilter) -> TopicFilter {
        self.isQueue(filter.text) ? TopicFilter(originalOf: filter, dropping: self.prefix.utf8.count) : filter
    }

    package static func original(of name: String) -> String { self.original(of: TopicFilter(topic: name)).text }

    /// Whether messages of a filter's topics are put aside at all: those of the server's own (`$SYS`) are not.
    package static func hasQueue(_ filter: TopicFilter) -> Bool { !filter.text.utf8.starts(with: "$".utf8) }
}
