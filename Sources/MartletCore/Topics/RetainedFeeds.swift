import MartletWire

/// Retained values that subscriptions of one session are still to be sent.
///
/// A value without I/O. It never holds a message: of each subscription it knows up to which topic, in the order of their bytes, its values
/// were sent, so that what is replaced or cleared in between is sent as it is then, or not at all. Subscriptions are served one after the other.
///
/// **Bound.** One feed for each subscription and for each value that was under way when the connection before ended; of the first one a
/// page of names (``pageNames``), of each ``earlyMost`` names at most.
package struct RetainedFeeds: Sendable {
    /// The values of one subscription, or one value.
    package struct Feed: Sendable {
        /// The topics whose values it brings.
        package let values: TopicFilter
        /// The subscription that they are for, as the client says it.
        package let filter: TopicFilter
        /// What the session reads for it: the same, or its queue.
        package internal(set) var reader: TopicFilter
        /// What is newer comes as a message.
        package let ends: TopicSubscriptions.Ends
        /// It goes on after a connection that was lost: what is newer comes as a message only if it waited for who was away.
        let isResumed: Bool
        /// Where values are still to be looked for; the first is being read.
        package internal(set) var logs: [TopicLogKind]
        /// Up to which topic of the first log everything was sent; nil at the beginning.
        package internal(set) var after: String?
        /// The topics that come next in memory, as far as they were looked up.
        package internal(set) var names: ArraySlice<String> = []
        /// Up to where they were looked up; nil for the end.
        var reached: String?
        /// Topics beyond ``after`` whose values went out before a message.
        var early: [String] = []
        /// Subscriptions that began together have the same.
        let group: UInt32
        /// Tells it from those that were there before.
        package let id: UInt32

        package var log: TopicLogKind { self.logs.first ?? .memory }

        /// Whether it brings a value of a log; otherwise that comes as a message.
        package func brings(_ value: StoredMessage, of log: TopicLogKind) -> Bool {
            value.offset <= self.ends[log] || log == .memory && value.id.milliseconds <= self.ends.lateUpTo
                || self.isResumed && value.marks.qos == 0
        }

        /// Whether the value of a topic has gone out, if there was one.
        func isPast(_ topic: String, in log: TopicLogKind) -> Bool {
            guard self.logs.contains(log) else { return true }
            if self.early.contains(where: { isSameName($0, topic) }) { return true }
            guard self.log == log, let after = self.after else { return false }
            return !after.utf8.lexicographicallyPrecedes(topic.utf8)
        }
    }

    /// Names of topics that are looked up together.
    package static let pageNames = 256
    /// Names that are looked at in one turn, whether the filters match them or not.
    package static let turnLooks = 2_000
    private static let earlyMost = 64

    package private(set) var all: [Feed] = []
    /// Of those that began together with the first: they have sent everything.
    var finished: [TopicFilter] = []
    private var haveGone = false
    private var lastID: UInt32 = 0
    private var lastGroup: UInt32 = 0
    /// A read of the store is under way.
    package var isReading = false
    /// The last read of the store failed: it is to be asked for again.
    package var hasFailed = false

    package init() {}

    package var isEmpty: Bool { self.all.isEmpty }
    /// The one whose values are to be sent now.
    package var next: Feed? { self.isReading || self.hasFailed ? nil : self.all.first }

    // MARK: Subscriptions

    /// Those that are added from now on began together.
    package mutating func begin() { self.lastGroup &+= 1 }

    /// Adds a feed; one of the same values for the same subscription begins anew.
    ///
    /// - Parameters:
    ///   - after: where it goes on in the first log; nil for the beginning.
    ///   - isResumed: whether it goes on after a connection that was lost.
    /// - Returns: whether there is anything to bring.
    @discardableResult
    package mutating func add(
        _ values: TopicFilter, for filter: TopicFilter, reader: TopicFilter, logs: [TopicLogKind], ends: TopicSubscriptions.Ends,
        after: String? = nil, isResumed: Bool = false
    ) -> Bool {
        guard !logs.isEmpty else { return false }
        self.removeAll { $0.filter == filter && $0.values == values }
        self.lastID &+= 1
        self.all.append(
            Feed(
                values: values, filter: filter, reader: reader, ends: ends, isResumed: isResumed, logs: logs, after: after,
                group: self.lastGroup, id: self.lastID))
        return true
    }

    /// A subscription ended.
    package mutating func remove(_ filter: TopicFilter) {
        self.removeAll { $0.filter == filter }
        self.finished.removeAll { $0 == filter }
    }

    package mutating func removeAll() { self.removeAll { _ in true } }

    private mutating func removeAll(_ isGone: (Feed) -> Bool) {
        guard let first = self.all.first else { return }
        self.all.removeAll(where: isGone)
        self.haveGone = true
        if self.all.first?.id != first.id { (self.isReading, self.hasFailed) = (false, false) }
        if self.all.first?.group != first.group { self.finished = [] }
    }

    /// A subscription goes on as another one of the session's.
    package mutating func move(_ filter: TopicFilter, to reader: TopicFilter) {
        for index in self.all.indices where self.all[index].filter == filter { self.all[index].reader = reader }
        self.haveGone = true
    }

    package func holds(_ reader: TopicFilter) -> Bool { self.all.indices.contains { self.all[$0].reader == reader } }

    /// What the session may read on, of what it holds back; nothing unless some have gone since the last call.
    package mutating func takeUnheld<Slot>(of held: @autoclosure () -> [(slot: Slot, filter: TopicFilter)]) -> [Slot] {
        guard self.haveGone else { return [] }
        self.haveGone = false
        let readers = Set(self.all.lazy.map(\.reader))
        return held().compactMap { readers.contains($0.filter) ? nil : $0.slot }
    }

    // MARK: The first

    /// The next names in memory.
    package mutating func turn(_ page: RetainedNames) {
        guard !self.all.isEmpty else { return }
        self.all[0].names = page.names[...]
        self.all[0].reached = page.reached
        if page.names.isEmpty { self.turned() }
    }

    /// Everything that was looked up was sent.
    private mutating func turned() {
        guard let reached = self.all[0].reached else { return self.endLog() }
        self.skip(to: reached)
    }

    /// There is nothing to be sent up to this topic.
    package mutating func skip(to topic: String) {
        guard !self.all.isEmpty else { return }
        self.all[0].after = topic
        self.all[0].early.removeAll { !topic.utf8.lexicographicallyPrecedes($0.utf8) }
    }

    /// Everything up to this topic was sent.
    package mutating func pass(_ topic: String) {
        guard !self.all.isEmpty else { return }
        self.all[0].after = topic
        self.all[0].early.removeAll { isSameName($0, topic) }
        guard self.all[0].log == .memory else { return }
        self.all[0].names = self.all[0].names.dropFirst()
        if self.all[0].names.isEmpty { self.turned() }
    }

    /// There is nothing more where it was read.
    package mutating func endLog() {
        guard !self.all.isEmpty else { return }
        self.all[0].logs.removeFirst()
        self.all[0].after = nil
        self.all[0].names = []
        self.all[0].reached = nil
        guard self.all[0].logs.isEmpty else { return }
        let done = self.all.removeFirst()
        self.haveGone = true
        if self.all.first?.group == done.group { self.finished.append(done.values) } else { self.finished = [] }
    }

    /// Whether a value that was found for the first feed is to be sent.
    package func isDue(_ value: StoredMessage, of topic: String, now: Int64) -> Bool {
        guard let feed = self.all.first, feed.brings(value, of: feed.log), !value.isExpired(at: now) else { return false }
        return !feed.early.contains { isSameName($0, topic) } && !self.finished.contains { $0.matches(topic) }
    }

    // MARK: Messages that come meanwhile

    /// The feeds that may still bring the value of a topic, which comes before a message of the topic.
    ///
    /// - Parameter log: where that value is, if there is one.
    package func owing(_ topic: String, in log: TopicLogKind) -> [Feed] {
        var groups: Set<UInt32> = []
        if let first = self.all.first, self.finished.contains(where: { $0.matches(topic) }) { groups.insert(first.group) }
        return self.all.filter { feed in
            guard feed.values.matches(topic), groups.insert(feed.group).inserted else { return false }
            return !feed.isPast(topic, in: log)
        }
    }

    /// Whether the value of one more topic may go out before its turn.
    package func maySendEarly(_ id: UInt32) -> Bool { self.all.first { $0.id == id }.map { $0.early.count < Self.earlyMost } ?? false }

    /// The one that was added last has sent the value of a topic before its turn.
    package mutating func sentEarly(_ topic: String) {
        if let last = self.all.last { self.sentEarly(topic, last.id) }
    }

    package mutating func sentEarly(_ topic: String, _ id: UInt32) {
        guard let index = self.all.firstIndex(where: { $0.id == id }) else { return }
        self.all[index].early.append(topic)
    }
}
