/// Which topics are wanted, and which of them this session knows of. A value: no clock, no connection.
package struct TopicTable {
    private struct Entry {
        var wish: TopicWish
        /// Sequences that want its messages, or who is there.
        var consumers: Set<Int>
        var watchers: Set<Int> = []
        /// The server has confirmed it, in this session or an earlier one: the cursor holds its place.
        var isKnown = false
        /// This session has it, or was asked for it.
        var isAsked = false
        var isWatched = false
    }

    /// By filter, in the order in which they were wanted.
    private var entries: [(filter: String, entry: Entry)] = []

    package init() {}

    package var isEmpty: Bool { self.entries.isEmpty }
    package var wantsPresence: Bool { self.entries.contains { !$0.entry.watchers.isEmpty } }

    private func index(_ filter: String) -> Int? { self.entries.firstIndex { TopicFilter.areSame($0.filter, filter) } }

    /// A sequence wants a topic.
    ///
    /// - Returns: what to ask an open session for; nil if it has it.
    package mutating func add(_ consumer: Int, _ wish: TopicWish) -> TopicWish? {
        if let index = self.index(wish.topic) {
            self.entries[index].entry.consumers.insert(consumer)
            if wish.presence { self.entries[index].entry.watchers.insert(consumer) }
            guard wish.presence, !self.entries[index].entry.isWatched else { return nil }
            self.entries[index].entry.wish.presence = true
            self.entries[index].entry.isWatched = true
            return TopicWish(topic: wish.topic, presence: true)
        }
        let entry = Entry(wish: wish, consumers: [consumer], watchers: wish.presence ? [consumer] : [], isAsked: true, isWatched: wish.presence)
        self.entries.append((wish.topic, entry))
        return wish
    }

    /// A sequence is over.
    ///
    /// - Returns: the topics that nobody wants any more.
    package mutating func remove(_ consumer: Int) -> [String] {
        for index in self.entries.indices {
            self.entries[index].entry.consumers.remove(consumer)
            self.entries[index].entry.watchers.remove(consumer)
        }
        let over = self.entries.filter { $0.entry.consumers.isEmpty }.map(\.filter)
        self.entries.removeAll { $0.entry.consumers.isEmpty }
        return over
    }

    /// Ends a topic that is not allowed.
    ///
    /// - Returns: the sequences that wanted it.
    package mutating func drop(_ filter: String) -> Set<Int> {
        guard let index = self.index(filter) else { return [] }
        return self.entries.remove(at: index).entry.consumers
    }

    /// What a new session's address names.
    ///
    /// - Parameters:
    ///   - all: whether what has a beginning of its own (`since`) goes there too, because it cannot be asked for later.
    ///   - none: whether every topic is asked for by itself, because one of them may not be allowed.
    package mutating func forAddress(all: Bool, none: Bool) -> (topics: [String], since: Since?, presence: Bool) {
        var named: [String] = []
        var since: Since?
        var presence = false
        for index in self.entries.indices {
            let entry = self.entries[index].entry
            let isNamed = all || (!none && (entry.isKnown || entry.wish.since == nil))
            self.entries[index].entry.isAsked = isNamed
            guard isNamed else { continue }
            named.append(entry.wish.topic)
            if !entry.isKnown, since == nil { since = entry.wish.since }
            presence = presence || !entry.watchers.isEmpty
        }
        for index in self.entries.indices where self.entries[index].entry.isAsked { self.entries[index].entry.isWatched = presence }
        return (named, since, presence)
    }

    /// What is left to ask for once the session stands.
    package mutating func afterWelcome() -> [TopicWish] {
        var wishes: [TopicWish] = []
        for index in self.entries.indices {
            if self.entries[index].entry.isAsked {
                self.entries[index].entry.isKnown = true
                continue
            }
            var wish = self.entries[index].entry.wish
            // It began once; from then on the cursor holds its place.
            if self.entries[index].entry.isKnown { wish.since = nil }
            wish.presence = !self.entries[index].entry.watchers.isEmpty
            self.entries[index].entry.isWatched = wish.presence
            self.entries[index].entry.isAsked = true
            wishes.append(wish)
        }
        return wishes
    }

    package mutating func confirmed(_ topics: [String]) {
        for topic in topics {
            if let index = self.index(topic) { self.entries[index].entry.isKnown = true }
        }
    }

    /// Sequences of presence that a topic's news goes to.
    package func watchers(of topic: String) -> Set<Int> {
        self.entries.reduce(into: []) { found, entry in
            if TopicFilter.matches(entry.filter, topic) { found.formUnion(entry.entry.watchers) }
        }
    }
}
