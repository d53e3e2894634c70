import MartletCore
import MartletWire
import NIOCore

/// The subscribers of one topic, or filter, on one loop. Most have one, which costs no array.
enum TopicReaders {
    struct Reader {
        let session: LiveSession
        let slot: Int32
    }

    case none
    case one(Reader)
    case many([Reader])

    mutating func add(_ reader: Reader) {
        switch self {
        case .none: self = .one(reader)
        case .one(let other): self = .many([other, reader])
        case .many(var readers):
            // Given up first, so that the array is not copied.
            self = .none
            readers.append(reader)
            self = .many(readers)
        }
    }

    /// - Returns: whether none is left.
    mutating func remove(_ session: LiveSession, _ slot: Int) -> Bool {
        switch self {
        case .none: return true
        case .one(let other):
            if other.session === session, other.slot == slot { self = .none }
        case .many(var readers):
            self = .none
            if let index = readers.lastIndex(where: { $0.session === session && $0.slot == slot }) {
                readers.swapAt(index, readers.count - 1)
                readers.removeLast()
            }
            self = readers.isEmpty ? .none : .many(readers)
        }
        if case .none = self { return true }
        return false
    }

    var count: Int {
        switch self {
        case .none: 0
        case .one: 1
        case .many(let readers): readers.count
        }
    }

    @inline(__always)
    func each(_ body: (Reader) -> Void) {
        switch self {
        case .none: break
        case .one(let reader): body(reader)
        case .many(let readers): for reader in readers { body(reader) }
        }
    }
}

extension TopicMail {
    /// What a message takes of a connection, framing included, in bytes.
    static func weight(_ message: StoredMessage) -> Int { message.fragment.count + 64 }
}

/// Topics of one event loop.
final class ShardTopics {
    /// By name; filters without wildcards.
    var readers: [TopicKey: TopicReaders] = [:]
    var filters: [AppID: FilterTrie<TopicReaders>] = [:]
    /// Reads of the store under way, and what was taken back since the first of them began.
    private var reads = 0
    private var recalled: Set<UInt64> = []

    /// Sessions that read on when the sockets of the loop have had their turn.
    private var resting: [LiveSession] = []
    private var isRestScheduled = false
    /// The loop looks at its sockets only when no task is due.
    private static let rest = TimeAmount.microseconds(50)
    /// Sessions that read on between two looks at the sockets.
    private static let restMost = 8

    func readBegan() { self.reads += 1 }

    /// Has a session read on when the sockets have had their turn: tasks alone would keep them waiting.
    func rest(_ session: LiveSession, on loop: any EventLoop) {
        self.resting.append(session)
        self.scheduleRest(on: loop)
    }

    private func scheduleRest(on loop: any EventLoop) {
        guard !self.isRestScheduled, !self.resting.isEmpty else { return }
        self.isRestScheduled = true
        loop.scheduleTask(in: Self.rest) {
            let some = self.resting.prefix(Self.restMost)
            self.resting.removeFirst(some.count)
            for session in some { session.readOn() }
            // Only now: the time of a task that was scheduled before these turns would be over after them.
            self.isRestScheduled = false
            self.scheduleRest(on: loop)
        }
    }

    /// - Returns: what must not be sent, though the read may have returned it.
    func readEnded() -> Set<UInt64> {
        self.reads -= 1
        let recalled = self.recalled
        if self.reads == 0 { self.recalled = [] }
        return recalled
    }

    func recalled(_ offset: UInt64) {
        if self.reads > 0 { self.recalled.insert(offset) }
    }
}

extension Shard {
    /// From now on what is published to a filter's topics comes to this loop.
    ///
    /// - Returns: the end of the memory log: what has a larger offset will come.
    func announce(_ filter: TopicFilter, app: AppID) -> UInt64 {
        let isKnown =
            filter.isWildcard
            ? self.topics.filters[app]?[filter] != nil : self.topics.readers[TopicKey(app: app, name: filter.text)] != nil
        return isKnown ? self.node.hub.end : self.node.hub.add(filter, app: app, loop: self.index)
    }

    func subscribe(_ session: LiveSession, _ slot: Int, _ filter: TopicFilter) {
        let reader = TopicReaders.Reader(session: session, slot: Int32(slot))
        if filter.isWildcard {
            self.topics.filters[session.app, default: FilterTrie()].update(filter) { readers in
                var own = readers ?? .none
                readers = nil
                own.add(reader)
                readers = own
            }
        } else {
            self.topics.readers[TopicKey(app: session.app, name: filter.text), default: .none].add(reader)
        }
    }

    func unsubscribe(_ session: LiveSession, _ slot: Int, _ filter: TopicFilter) {
        var isEmpty = false
        if filter.isWildcard {
            self.topics.filters[session.app]?.update(filter) { readers in
                guard var own = readers else { return }
                readers = nil
                isEmpty = own.remove(session, slot)
                if !isEmpty { readers = own }
            }
            if self.topics.filters[session.app]?.isEmpty == true { self.topics.filters[session.app] = nil }
        } else {
            let key = TopicKey(app: session.app, name: filter.text)
            isEmpty = self.topics.readers[key]?.remove(session, slot) ?? false
            if isEmpty { self.topics.readers[key] = nil }
        }
        if isEmpty { self.node.hub.remove(filter, app: session.app, loop: self.index) }
    }

    /// Subscriptions that a message of the topic goes to.
    func subscribers(of topic: TopicKey) -> Int {
        var count = self.topics.readers[topic]?.count ?? 0
        self.topics.filters[topic.app]?.visit(topic.name) { count += $0.count }
        let queue = TopicKey(app: topic.app, name: QueueTopic.name(of: topic.name))
        count += self.topics.readers[queue]?.count ?? 0
        self.topics.filters[topic.app]?.visit(queue.name) { count += $0.count }
        return count
    }

    /// Hands out what waits for this loop; one flush for each session at the end.
    func takeMail() {
        let mail = self.node.hub.takeMail(self.index)
        guard !mail.isEmpty else { return }
        for one in mail { self.deliver(one) }
        self.endTurn()
    }

    private func deliver(_ mail: TopicMail) {
        switch mail {
        case .message(let message, let topic, let log):
            // One that waited for too long is not sent, nor read later; one that is only for who is there goes out however late.
            guard message.liveOnly || !message.isExpired(at: self.node.clock.now()) else { return }
            var place = TopicPlace(memoryEpoch: self.node.hub.memoryEpoch)
            if let log { place[log] = message.offset }
            let shared = TopicDelivery(
                message: message, isRetained: false,
                cursor: log == nil
                    ? nil
                    : Cursor(
                        tag: 0, epoch: self.node.store.epoch, appHash: Cursor.hash(String(topic.app.rawValue)), userHash: 0,
                        deviceHash: 0, positions: Positions(), topics: place),
                isCursorShared: log != nil, frames: SharedFrames())
            let weight = TopicMail.weight(message)
            self.each(topic) { $0.session.announced(Int($0.slot), shared, topic: topic.name, log: log, weight: weight) }
        case .recalled(let offset): self.topics.recalled(offset)
        case .presence(let event, let topic):
            self.each(topic) { $0.session.presence(event, Int($0.slot)) }
        }
    }

    @inline(__always)
    private func each(_ topic: TopicKey, _ body: (TopicReaders.Reader) -> Void) {
        // Copies, so that a session that ends within may leave.
        if let readers = self.topics.readers[topic] { readers.each(body) }
        guard !self.topics.filters.isEmpty, let filters = self.topics.filters[topic.app] else { return }
        filters.visit(topic.name) { $0.each(body) }
    }
}
