/// Who gets what, what of it was handled, and which position that makes. A value: no clock, no connection.
package struct Deliveries {
    /// What a sequence wants.
    package enum Wants: Sendable, Equatable {
        /// Messages of the inbox, of one type or of all.
        case inbox(type: String?)
        /// Messages of a topic or filter.
        case topic(String)
        /// Messages of several filters, and of the whole inbox; each once.
        case several(inbox: Bool, topics: [String])

        func matches(_ message: Message) -> Bool {
            switch self {
            case .inbox(let type): message.topic == nil && (type == nil || type == message.type)
            case .topic(let filter): message.topic.map { TopicFilter.matches(filter, $0) } ?? false
            case .several(let inbox, let topics):
                message.topic.map { topic in topics.contains { TopicFilter.matches($0, topic) } } ?? inbox
            }
        }

        var topics: [String] {
            switch self {
            case .inbox: []
            case .topic(let filter): [filter]
            case .several(_, let topics): topics
            }
        }

        var isForInbox: Bool {
            switch self {
            case .inbox: true
            case .topic: false
            case .several(let inbox, _): inbox
            }
        }
    }

    private struct Consumer {
        let wants: Wants
        /// Ids, in the order of arrival.
        var queue: [String] = []
        var taken = 0
        var isEmpty: Bool { self.taken == self.queue.count }
    }

    private struct Pending {
        let message: Message
        /// In the session of ``session``; nil where it is not acked by number.
        var seq: UInt64?
        /// Its number in the ledger of that session.
        var place: Int
        var session: Int
        /// Sequences that have it and did not say that it was handled.
        var waiting: Set<Int> = []
        /// Somebody has handled it.
        var isHandled = false
        /// How many sequences hold it in their queues.
        var queued = 0
    }

    /// What a change asks for.
    package struct Outcome {
        /// Numbers to ack.
        package var acks: [UInt64] = []
        /// Sequences that have something to take.
        package var ready: Set<Int> = []
        /// The position moved.
        package var isMoved = false
    }

    /// Ids that are remembered so that nothing is handled twice.
    static let remembered = 4_096
    /// Above these many messages, or bytes of them, that wait for sequences, nothing more is read.
    static let mostQueued = 1_000
    static let mostQueuedBytes = 8_388_608

    private var consumers: [Int: Consumer] = [:]
    private var pending: [String: Pending] = [:]
    /// Messages of the inbox that no sequence has, in the order of arrival.
    private var parked: [String] = []
    /// Types that were asked for once: their messages wait for a sequence.
    private var types: Set<String> = []
    private var wantsAll = false
    private var recent = Recent(most: Self.remembered)
    private var ledger = Ledger(cursor: nil)
    private var session = 0
    private var queued = 0
    private var queuedBytes = 0

    package init() {}

    /// Goes on where an earlier start had come to.
    package mutating func restore(cursor: String?, ahead: [String]) {
        self.ledger = Ledger(cursor: cursor)
        for id in ahead { self.recent.insert(id) }
    }

    /// The place up to which everything was handled.
    package var cursor: String? { self.ledger.cursor }
    package var ahead: [String] { self.ledger.ahead }
    /// Whether so much waits that nothing more should be read.
    package var isFull: Bool { self.queued >= Self.mostQueued || self.queuedBytes >= Self.mostQueuedBytes }

    // MARK: The session

    /// A session begins at this place. What is still waiting will come again, and is recognised.
    package mutating func opened(cursor: String?) {
        self.session += 1
        self.ledger = Ledger(cursor: cursor ?? self.ledger.cursor)
    }

    /// Goes on without a cursor that the server does not know.
    package mutating func forgetCursor() { self.ledger = Ledger(cursor: nil) }

    /// The position moves without a message: after a gap, or a subscription.
    package mutating func place(_ cursor: String?) -> Outcome {
        guard let cursor else { return Outcome() }
        return Outcome(isMoved: self.ledger.done(self.ledger.add(cursor: cursor, id: nil)))
    }

    package mutating func receive(_ incoming: IncomingMessage) -> Outcome {
        let message = incoming.message
        let place = self.ledger.add(cursor: incoming.cursor, id: message.id)
        if var known = self.pending[message.id] {
            // It waits here since an earlier session: only its numbers are new.
            (known.seq, known.place, known.session) = (incoming.seq, place, self.session)
            self.pending[message.id] = known
            return Outcome()
        }
        if self.recent.contains(message.id) { return self.settle(incoming.seq, place) }
        var entry = Pending(message: message, seq: incoming.seq, place: place, session: self.session)
        var outcome = Outcome()
        for (id, consumer) in self.consumers where consumer.wants.matches(message) {
            self.hand(message, to: id, &entry)
            outcome.ready.insert(id)
        }
        if entry.waiting.isEmpty {
            guard message.topic == nil, self.isWaitedFor(message) else {
                self.recent.insert(message.id, topic: message.topic)
                return self.settle(incoming.seq, place)
            }
            self.parked.append(message.id)
        }
        self.pending[message.id] = entry
        return outcome
    }

    /// Without a sequence for the inbox everything waits; with one, what nobody ever asked for is gone.
    private func isWaitedFor(_ message: Message) -> Bool {
        if self.wantsAll || self.types.isEmpty { return true }
        return message.type.map { self.types.contains($0) } ?? false
    }

    private mutating func settle(_ seq: UInt64?, _ place: Int) -> Outcome {
        Outcome(acks: seq.map { [$0] } ?? [], isMoved: self.ledger.done(place))
    }

    private mutating func hand(_ message: Message, to id: Int, _ entry: inout Pending) {
        entry.waiting.insert(id)
        entry.queued += 1
        if entry.queued == 1 {
            self.queued += 1
            self.queuedBytes += message.json.count
        }
        self.consumers[id]?.queue.append(message.id)
    }

    // MARK: Sequences

    /// A sequence begins; it gets what waited for one like it.
    package mutating func add(_ id: Int, _ wants: Wants) -> Outcome {
        self.consumers[id] = Consumer(wants: wants)
        guard wants.isForInbox else { return Outcome() }
        if case .inbox(let type?) = wants { self.types.insert(type) } else { self.wantsAll = true }
        var outcome = Outcome()
        var left: [String] = []
        for key in self.parked {
            guard var entry = self.pending[key] else { continue }
            if wants.matches(entry.message) {
                self.hand(entry.message, to: id, &entry)
                self.pending[key] = entry
                outcome.ready.insert(id)
            } else if self.isWaitedFor(entry.message) {
                left.append(key)
            } else {
                outcome.merge(self.finish(key, entry))
            }
        }
        self.parked = left
        return outcome
    }

    /// The next message for a sequence; nil if there is none yet. It has to be ``done(_:by:)`` with.
    package mutating func next(for id: Int) -> Message? {
        guard var consumer = self.consumers[id], !consumer.isEmpty else { return nil }
        let key = consumer.queue[consumer.taken]
        consumer.taken += 1
        if consumer.taken > 64, consumer.taken * 2 > consumer.queue.count {
            consumer.queue.removeFirst(consumer.taken)
            consumer.taken = 0
        }
        self.consumers[id] = consumer
        guard var entry = self.pending[key] else { return nil }
        self.unqueue(&entry)
        self.pending[key] = entry
        return entry.message
    }

    private mutating func unqueue(_ entry: inout Pending) {
        entry.queued -= 1
        guard entry.queued == 0 else { return }
        self.queued -= 1
        self.queuedBytes -= entry.message.json.count
    }

    /// A sequence has handled a message.
    package mutating func done(_ key: String, by id: Int) -> Outcome {
        guard var entry = self.pending[key], entry.waiting.remove(id) != nil else { return Outcome() }
        entry.isHandled = true
        guard entry.waiting.isEmpty else {
            self.pending[key] = entry
            return Outcome()
        }
        return self.finish(key, entry)
    }

    private mutating func finish(_ key: String, _ entry: Pending) -> Outcome {
        self.pending[key] = nil
        self.recent.insert(key, topic: entry.message.topic)
        guard entry.session == self.session else { return Outcome() }
        return self.settle(entry.seq, entry.place)
    }

    /// A sequence ends. What it had of the inbox and nobody else handled waits for the next one; of topics it is gone.
    package mutating func remove(_ id: Int) -> Outcome {
        guard let consumer = self.consumers.removeValue(forKey: id) else { return Outcome() }
        let unread = Set(consumer.queue[consumer.taken...])
        var outcome = Outcome()
        let had = self.pending.filter { $0.value.waiting.contains(id) }.sorted { $0.value.place < $1.value.place }
        var back: [String] = []
        for (key, value) in had {
            var entry = value
            entry.waiting.remove(id)
            if unread.contains(key) { self.unqueue(&entry) }
            self.pending[key] = entry
            guard entry.waiting.isEmpty else { continue }
            if entry.isHandled || entry.message.topic != nil {
                outcome.merge(self.finish(key, entry))
            } else {
                back.append(key)
            }
        }
        self.parked = back + self.parked
        return outcome
    }

    /// Somebody wants a topic from its beginning: what was handled of it may come once more.
    package mutating func forgetHandled(of filter: String) {
        self.recent.forget { TopicFilter.matches(filter, $0) }
    }
}

extension Deliveries.Outcome {
    mutating func merge(_ other: Self) {
        self.acks += other.acks
        self.ready.formUnion(other.ready)
        self.isMoved = self.isMoved || other.isMoved
    }
}
