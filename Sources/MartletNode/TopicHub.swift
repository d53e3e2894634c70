import MartletCore
import MartletWire
import NIOCore
import Synchronization

/// One thing for those who subscribe to a topic, on its way to an event loop.
enum TopicMail: Sendable {
    /// - Parameter log: where it is kept; nil if it is not.
    case message(StoredMessage, topic: TopicKey, log: TopicLogKind?)
    case presence(PresenceEvent, topic: TopicKey)
    /// A message of the store was taken back, though a read under way may still return it.
    case recalled(offset: UInt64)
}

/// The one place that all event loops share of topics: the memory log, and which loops have subscribers.
///
/// A publish takes the lock once: it gets its offset and is put into the mail of each loop that has a subscriber. So the order of the
/// offsets is the order of every loop's mail. A loop whose mail was empty is woken; it takes all of its mail at once.
final class TopicHub: Sendable {
    private struct State {
        var table: TopicTable
        var ids = IDGenerator(after: nil)
        /// By topic, one bit for each loop that has a subscriber of just this name.
        var masks: [TopicKey: UInt64] = [:]
        /// By app, the same for filters with wildcards.
        var filters: [AppID: FilterTrie<UInt64>] = [:]
        /// By app: filters of subscribers who ack, and how many there are.
        var acked: [AppID: FilterTrie<Int>] = [:]
        /// By loop.
        var mail: [[TopicMail]]
    }

    /// Names the history of the memory log: a new one with each start.
    let memoryEpoch: UInt32
    private let state: Mutex<State>
    private let watchers = Mutex<[(topic: TopicKey, body: @Sendable () -> Void)]>([])

    /// - Parameter random: 64 random bits.
    init(loops: Int, limits: Limits, random: UInt64) {
        self.memoryEpoch = max(1, UInt32(truncatingIfNeeded: random))
        self.state = Mutex(State(table: TopicTable(limits: limits), mail: Array(repeating: [], count: loops)))
    }

    // MARK: Subscribers

    /// A loop got its first subscriber of a filter.
    ///
    /// - Returns: the end of the memory log: what has a larger offset goes to the loop.
    func add(_ filter: TopicFilter, app: AppID, loop: Int) -> UInt64 {
        defer { self.tell(filter, app) }
        return self.state.withLock { state in
            let bit = UInt64(1) << UInt64(loop)
            if filter.isWildcard {
                state.filters[app, default: FilterTrie()].update(filter) { $0 = ($0 ?? 0) | bit }
            } else {
                state.masks[TopicKey(app: app, name: filter.text), default: 0] |= bit
            }
            return state.table.end
        }
    }

    /// A loop lost its last subscriber of a filter.
    func remove(_ filter: TopicFilter, app: AppID, loop: Int) {
        defer { self.tell(filter, app) }
        self.state.withLock { state in
            let bit = UInt64(1) << UInt64(loop)
            if filter.isWildcard {
                state.filters[app]?.update(filter) { value in
                    guard let mask = value else { return }
                    value = mask & ~bit == 0 ? nil : mask & ~bit
                }
                if state.filters[app]?.isEmpty == true { state.filters[app] = nil }
            } else {
                let key = TopicKey(app: app, name: filter.text)
                guard let mask = state.masks[key] else { return }
                state.masks[key] = mask & ~bit == 0 ? nil : mask & ~bit
            }
        }
    }

    /// Whether a subscriber of any loop gets what is published to the topic.
    func hasSubscribers(_ topic: TopicKey) -> Bool {
        let queue = TopicKey(app: topic.app, name: QueueTopic.name(of: topic.name))
        return self.state.withLock { Self.loops(of: topic, in: $0) | Self.loops(of: queue, in: $0) != 0 }
    }

    /// From now on `body` is called when the subscribers of a topic may have come or gone.
    func watch(_ topic: TopicKey, _ body: @escaping @Sendable () -> Void) { self.watchers.withLock { $0.append((topic, body)) } }

    private func tell(_ filter: TopicFilter, _ app: AppID) {
        let filter = QueueTopic.original(of: filter)
        for watcher in self.watchers.withLock({ $0 }) where watcher.topic.app == app && filter.matches(watcher.topic.name) { watcher.body() }
    }

    /// Subscribers who ack what they get come (1) or go (-1): for them, what is published is held for a while, whatever the topic's options.
    func expectAcks(_ filter: TopicFilter, app: AppID, _ change: Int) {
        self.state.withLock { state in
            state.acked[app, default: FilterTrie()].update(filter) { count in
                let sum = (count ?? 0) + change
                count = sum > 0 ? sum : nil
            }
            if state.acked[app]?.isEmpty == true { state.acked[app] = nil }
        }
    }

    /// What is held for those who ack: messages, seconds and bytes of a topic.
    private static let ring = (messages: 1_000, seconds: 30, bytes: 1_048_576)

    /// The options of a topic for one publish: what somebody is to ack is held for a while even where nothing else is.
    private static func held(_ request: AppendRequest, of topic: TopicKey, _ options: TopicOptions, in state: borrowing State) -> TopicOptions {
        guard !options.keepsHistory, request.marks.qos > 0, request.ttl > 0, Self.isAcked(topic, in: state) else { return options }
        var options = options
        (options.historyMessages, options.historySeconds, options.historyBytes) = Self.ring
        return options
    }

    /// Whether somebody acks what is published to a topic, and nothing else holds it for them.
    func isAcked(_ topic: TopicKey) -> Bool { self.state.withLock { Self.isAcked(topic, in: $0) } }

    /// What the store keeps of a topic after one publish.
    func keep(_ request: AppendRequest, of topic: TopicKey, _ options: TopicOptions) -> TopicAppend.Keep {
        let held = options.keepsHistory ? options : self.state.withLock { Self.held(request, of: topic, options, in: $0) }
        return .init(messages: held.historyMessages, seconds: held.historySeconds, bytes: held.historyBytes)
    }

    private static func isAcked(_ topic: TopicKey, in state: borrowing State) -> Bool {
        guard !state.acked.isEmpty, let filters = state.acked[topic.app] else { return false }
        var isAcked = false
        filters.visit(topic.name) { _ in isAcked = true }
        return isAcked
    }

    /// The end of the memory log.
    var end: UInt64 { self.state.withLock { $0.table.end } }

    // MARK: Publishing

    /// Publishes to a topic that is not in the store.
    ///
    /// - Parameters:
    ///   - id: nil for a new one.
    ///   - now: the server's clock, in milliseconds.
    ///   - at: Unix time in milliseconds.
    /// - Returns: what became of it, and the loops to wake, one bit each.
    func publish(
        _ request: AppendRequest, to topic: TopicKey, options: TopicOptions, id: MessageID? = nil, now: Int64, at: Int64, random: UInt64
    ) -> (outcome: AppendOutcome, wake: UInt64) {
        self.state.withLock { state in
            let id = id ?? state.ids.next(wall: at, random: random)
            let options = Self.held(request, of: topic, options, in: state)
            switch state.table.append(request, to: topic, options: options, id: id, now: now, at: at) {
            case .conflict: return (.conflict, 0)
            case .repeated(let id): return (.stored(id, repeated: true), 0)
            case .stored(let message):
                let log: TopicLogKind? = options.keepsHistory && !message.liveOnly ? .memory : nil
                return (
                    .stored(message.id, repeated: false),
                    Self.send(.message(message, topic: topic, log: log), to: topic, in: &state)
                )
            }
        }
    }

    /// What became of a request whose idempotency key was used before; nil if it was not, as far as is known here.
    func known(_ request: AppendRequest, now: Int64) -> AppendOutcome? {
        guard let idempotency = request.idempotency else { return nil }
        return self.state.withLock { state in
            switch state.table.known(idempotency, in: request.app, now: now) {
            case .repeated(let id): .stored(id, repeated: true)
            case .conflict: .conflict
            case .stored, nil: nil
            }
        }
    }

    /// Hands on what the store has committed, or who came and went.
    ///
    /// - Returns: the loops to wake, one bit each.
    func send(_ mail: [(topic: TopicKey, mail: TopicMail)]) -> UInt64 {
        self.state.withLock { state in
            mail.reduce(0) { $0 | Self.send($1.mail, to: $1.topic, in: &state) }
        }
    }

    /// Tells every loop that a message was taken back.
    ///
    /// - Returns: the loops to wake, one bit each.
    func recalled(_ offsets: [UInt64]) -> UInt64 {
        self.state.withLock { state in
            var wake: UInt64 = 0
            for loop in state.mail.indices {
                if state.mail[loop].isEmpty { wake |= 1 << UInt64(loop) }
                state.mail[loop] += offsets.map { .recalled(offset: $0) }
            }
            return wake
        }
    }

    private static func send(_ mail: TopicMail, to topic: TopicKey, in state: inout State) -> UInt64 {
        var rest = Self.loops(of: topic, in: state)
        var wake: UInt64 = 0
        while rest != 0 {
            let loop = rest.trailingZeroBitCount
            if state.mail[loop].isEmpty { wake |= 1 << UInt64(loop) }
            state.mail[loop].append(mail)
            rest &= rest - 1
        }
        return wake
    }

    /// The loops with subscribers of a topic, one bit each.
    private static func loops(of topic: TopicKey, in state: borrowing State) -> UInt64 {
        var mask = state.masks[topic] ?? 0
        if !state.filters.isEmpty { state.filters[topic.app]?.visit(topic.name) { mask |= $0 } }
        return mask
    }

    /// What waits for a loop; its mail is empty afterwards.
    func takeMail(_ loop: Int) -> [TopicMail] {
        self.state.withLock { state in
            let mail = state.mail[loop]
            state.mail[loop] = []
            return mail
        }
    }

    // MARK: Reading

    func read(_ request: TopicReadRequest) -> TopicSlice { self.state.withLock { $0.table.read(request) } }

    /// The retained value of a topic.
    func retained(_ topic: TopicKey, now: Int64) -> StoredMessage? {
        self.state.withLock { $0.table.retained(topic.name, app: topic.app, now: now) }
    }

    /// See ``TopicTable/retainedNames(_:app:after:limit:looks:)``.
    func retainedNames(_ filter: TopicFilter, app: AppID, after: String?, limit: Int, looks: Int) -> RetainedNames {
        self.state.withLock { $0.table.retainedNames(filter, app: app, after: after, limit: limit, looks: looks) }
    }

    /// The retained values of the first of some topics: nil where one has none.
    ///
    /// - Parameter bytes: what they may hold; the first is returned however large it is.
    func retained(_ names: ArraySlice<String>, app: AppID, bytes: Int, now: Int64) -> [StoredMessage?] {
        self.state.withLock { state in
            var values: [StoredMessage?] = []
            var left = bytes
            for name in names {
                let value = state.table.retained(name, app: app, now: now)
                left -= value.map { TopicMail.weight($0) } ?? 0
                guard left >= 0 || values.isEmpty else { break }
                values.append(value)
            }
            return values
        }
    }

    func info(_ topic: TopicKey, now: Int64) -> TopicLogInfo { self.state.withLock { $0.table.info(topic, now: now) } }

    /// Lets go of what is too old.
    ///
    /// - Returns: bytes that are held now, and what limits took since the last call.
    func trim(now: Int64) -> (bytes: Int, evictions: TopicEvictions) {
        self.state.withLock { state in
            state.table.trim(now: now)
            return (state.table.bytes, state.table.takeEvictions())
        }
    }

    /// Takes a message back.
    ///
    /// - Returns: nil if it is not kept here.
    func recall(_ id: MessageID, app: AppID, now: Int64) -> RecallOutcome? {
        self.state.withLock { $0.table.remove(id, app: app, now: now)?.outcome }
    }
}
