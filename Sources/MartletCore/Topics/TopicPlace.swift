/// How far a subscriber has come in the logs of topics: the part of a ``Cursor`` that is about topics.
///
/// One offset stands for all topics of a log, because offsets grow over all of them and each subscriber gets them in that order.
/// Those that were read less far (a slow subscriber, or history that is still being sent), or further (history that was sent while the others
/// had nothing), are listed. See decisions/0009.
package struct TopicPlace: Hashable, Sendable {
    /// Names the history of the memory log; that of the durable log is the cursor's own epoch.
    package var memoryEpoch: UInt32
    /// The last offset of each log that was sent or passed over; ``unread`` if no topic of the log was subscribed to.
    package var memory: UInt64
    package var durable: UInt64
    /// At most ``maxBehind``; with more, the offsets above are those of the one that is furthest behind.
    package var behind: [Behind]

    package struct Behind: Hashable, Sendable {
        /// ``shortHash(_:)`` of the filter's text.
        package var hash: UInt32
        package var log: TopicLogKind
        package var offset: UInt64
        /// Whether other filters that match the same topics, and were read less far, need nothing of those at or before the offset: it was sent.
        package var isKnown: Bool

        package init(hash: UInt32, log: TopicLogKind, offset: UInt64, isKnown: Bool = false) {
            self.hash = hash
            self.log = log
            self.offset = offset
            self.isKnown = isKnown
        }
    }

    /// Stands for no offset. In a cursor, offsets are written with one added, so that this is 0.
    package static let unread = UInt64.max

    /// As many as a cursor has room for.
    package static let maxBehind = 12

    package init(memoryEpoch: UInt32, memory: UInt64 = Self.unread, durable: UInt64 = Self.unread, behind: [Behind] = []) {
        self.memoryEpoch = memoryEpoch
        self.memory = memory
        self.durable = durable
        self.behind = behind
    }

    package subscript(log: TopicLogKind) -> UInt64 {
        get { log == .memory ? self.memory : self.durable }
        set { if log == .memory { self.memory = newValue } else { self.durable = newValue } }
    }

    /// How far a filter was read: with a hash that several share, the least.
    package func offset(of filter: TopicFilter, in log: TopicLogKind) -> UInt64 {
        guard !self.behind.isEmpty else { return self[log] }
        let hash = shortHash(filter.text)
        return self.behind.reduce(nil) { $1.log == log && $1.hash == hash ? min($0 ?? .max, $1.offset) : $0 } ?? self[log]
    }

    /// ``Behind/isKnown`` of a filter; with a hash that several share, not.
    package func isKnown(_ filter: TopicFilter, in log: TopicLogKind) -> Bool {
        guard !self.behind.isEmpty else { return false }
        let hash = shortHash(filter.text)
        let own = self.behind.filter { $0.log == log && $0.hash == hash }
        return own.count == 1 && own[0].isKnown
    }
}
