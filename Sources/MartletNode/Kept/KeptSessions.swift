import MartletCore
import Synchronization

/// The sessions that outlive their connections, live ones included; what waits in queues, and for whom.
///
/// Shared by all loops. The store has the same, for the next start.
final class KeptSessions: Sendable {
    struct Entry {
        var session: KeptSession
        /// Tells the connection that has it now from earlier ones; 0 for none.
        var holder: UInt64 = 0
    }

    struct State {
        var entries: [DeviceKey: Entry] = [:]
        /// By app: who has a subscription for which messages wait, by the client's filter.
        var interests: [AppID: FilterTrie<Set<DeviceKey>>] = [:]
        var counts: [AppID: Int] = [:]
        /// Topics of which something waits, with the newest offset of it.
        var waiting: [TopicKey: UInt64] = [:]
        /// Whether somebody has come further since the queues were looked through.
        var isMoved = false
        /// When something is due next; Unix time in milliseconds.
        var nextDue = Int64.max
        /// Kept subscriptions that share, by the group's record.
        var members: [DeviceKey: Set<DeviceKey>] = [:]
        /// Groups that may have lost their last member.
        var emptied: [DeviceKey] = []
    }

    private let state = Mutex(State())
    /// Filters for which messages wait; read without the lock.
    private let interested = Atomic<Int>(0)
    private let limit: Int

    init(_ limits: Limits) { self.limit = limits.keptSessions }

    func withLock<Result>(_ body: (inout sending State) -> sending Result) -> sending Result { self.state.withLock(body) }

    /// Sessions that are kept, live ones included.
    var count: Int { self.state.withLock { $0.entries.count } }

    subscript(key: DeviceKey) -> KeptSession? { self.state.withLock { $0.entries[key]?.session } }

    // MARK: Coming and going

    /// What was kept for a client that connects.
    struct Begun {
        var resumed: KeptSession?
        /// Whether there was something that is dropped now.
        var hasDropped = false
        /// Wills of what is dropped.
        var wills: [AppendRequest] = []
    }

    /// - Returns: nil if the app has as many sessions as it may keep.
    func begin(_ key: DeviceKey, user: String?, terms: SessionTerms, holder: UInt64) -> Begun? {
        self.state.withLock { state in
            var begun = Begun()
            if let entry = state.entries[key] {
                if !terms.isClean, isSameName(entry.session.user, user) {
                    begun.resumed = entry.session
                } else {
                    begun.hasDropped = true
                    if let will = entry.session.will { begun.wills.append(will.request) }
                    self.remove(key, &state)
                }
            }
            // One that goes on has its record as long as it lives, even if that is only as long as this connection.
            guard terms.expirySeconds > 0 || begun.resumed != nil else { return begun }
            guard begun.resumed != nil || state.counts[key.app, default: 0] < self.limit else { return nil }
            var session = begun.resumed ?? KeptSession(key: key, user: user, expirySeconds: 0)
            session.expirySeconds = terms.expirySeconds
            session.will = terms.will
            session.endedAt = nil
            self.insert(session, holder: holder, &state)
            return begun
        }
    }

    /// A live session says where it is.
    ///
    /// - Returns: false if another connection has it by now.
    @discardableResult
    func update(_ session: KeptSession, holder: UInt64, isAsked: Bool) -> Bool {
        self.state.withLock { state in
            guard let entry = state.entries[session.key], entry.holder == holder else { return false }
            if isAsked {
                self.insert(session, holder: holder, &state)
            } else {
                state.entries[session.key]?.session = session
            }
            state.isMoved = true
            return true
        }
    }

    /// A message that its client published under a number was not stored.
    func forget(number: UInt16, of key: DeviceKey) {
        self.state.withLock { state in
            guard state.entries[key]?.session.received.contains(number) == true else { return }
            state.entries[key]?.session.received.removeAll { $0 == number }
        }
    }

    /// The connection is gone.
    ///
    /// - Returns: false if another connection has it by now.
    func ended(_ session: KeptSession, holder: UInt64) -> Bool {
        self.state.withLock { state in
            guard state.entries[session.key]?.holder == holder else { return false }
            self.insert(session, holder: 0, &state)
            state.isMoved = true
            state.nextDue = min(state.nextDue, session.expiresAt ?? .max, session.willAt ?? .max)
            return true
        }
    }

    /// The session is over.
    ///
    /// - Returns: whether it was kept.
    func drop(_ key: DeviceKey, holder: UInt64) -> Bool {
        self.state.withLock { state in
            guard state.entries[key]?.holder == holder else { return false }
            self.remove(key, &state)
            return true
        }
    }

    /// What was stored before the start: its connections are gone.
    ///
    /// - Parameter wall: Unix time in milliseconds.
    func load(_ rows: [KeptSession], wall: Int64) {
        self.state.withLock { state in
            for var session in rows {
                session.endedAt = session.endedAt ?? wall
                self.insert(session, holder: 0, &state)
                state.nextDue = min(state.nextDue, session.expiresAt ?? .max, session.willAt ?? .max)
            }
            for key in state.entries.keys where ShareName.isGroup(key.name) && state.members[key] == nil {
                state.emptied.append(key)
                state.nextDue = 0
            }
        }
    }

    /// What is over by now.
    struct Due {
        var wills: [AppendRequest] = []
        /// Sessions without their will from now on.
        var changed: [KeptSession] = []
        var expired: [DeviceKey] = []
    }

    /// - Parameter isLive: whether a group has members that are there.
    func takeDue(wall: Int64, isLive: (DeviceKey) -> Bool) -> Due {
        self.state.withLock { state in
            var due = Due()
            guard wall >= state.nextDue else { return due }
            state.nextDue = .max
            for (key, entry) in state.entries where entry.holder == 0 && entry.session.endedAt != nil && !ShareName.isGroup(key.name) {
                if let at = entry.session.expiresAt, at <= wall {
                    if let will = entry.session.will { due.wills.append(will.request) }
                    due.expired.append(key)
                    continue
                }
                if let at = entry.session.willAt, at <= wall, let will = entry.session.will {
                    due.wills.append(will.request)
                    state.entries[key]?.session.will = nil
                    var session = entry.session
                    session.will = nil
                    due.changed.append(session)
                } else {
                    state.nextDue = min(state.nextDue, entry.session.willAt ?? .max)
                }
                state.nextDue = min(state.nextDue, entry.session.expiresAt ?? .max)
            }
            for key in due.expired { self.remove(key, &state) }
            let emptied = Set(state.emptied)
            state.emptied = []
            for group in emptied where state.members[group] == nil && state.entries[group] != nil {
                // Those who are there read what waits for the group.
                guard !isLive(group) else {
                    state.emptied.append(group)
                    state.nextDue = 0
                    continue
                }
                self.remove(group, &state)
                due.expired.append(group)
            }
            return due
        }
    }

    // MARK: Queues

    /// Whether messages of any topic wait for somebody.
    var hasQueues: Bool { self.interested.load(ordering: .relaxed) > 0 }

    /// Whether messages of a topic wait for somebody.
    func wants(_ topic: TopicKey) -> Bool {
        guard self.hasQueues else { return false }
        return self.state.withLock { state in
            var isWanted = false
            state.interests[topic.app]?.visit(topic.name) { _ in isWanted = true }
            return isWanted && QueueTopic.hasQueue(TopicFilter(topic: topic.name))
        }
    }

    /// A message waits in the queue of a topic.
    func queued(_ topic: TopicKey, offset: UInt64) {
        self.state.withLock { state in
            state.waiting[topic] = max(offset, state.waiting[topic] ?? 0)
            state.isMoved = true
        }
    }

    /// Queues of which something is needed by nobody any more, and up to where. To be called every second or so.
    func takeNeedless() -> [(topic: TopicKey, upTo: UInt64)] {
        self.state.withLock { state in
            guard state.isMoved else { return [] }
            state.isMoved = false
            var result: [(topic: TopicKey, upTo: UInt64)] = []
            for (topic, newest) in state.waiting {
                var least = UInt64.max
                state.interests[topic.app]?.visit(topic.name) { keys in
                    for key in keys { least = min(least, state.entries[key]?.session.needless(of: topic.name) ?? .max) }
                }
                guard least > 0 else { continue }
                result.append((topic, min(least, newest)))
                if least >= newest { state.waiting[topic] = nil }
            }
            return result
        }
    }

    // MARK: Groups

    /// The record of a group, which is made if there is none.
    ///
    /// - Parameter position: where a new one begins.
    /// - Returns: the record, and whether it is new.
    func group(_ key: DeviceKey, _ filter: TopicFilter, position: UInt64) -> (session: KeptSession, isNew: Bool) {
        self.state.withLock { state in
            if let entry = state.entries[key] { return (entry.session, false) }
            var session = KeptSession(key: key, user: nil, expirySeconds: 0)
            session.subscriptions = [.init(filter: filter, options: SubscribeOptions(qos: 1), position: position)]
            self.insert(session, holder: 0, &state)
            return (session, true)
        }
    }

    /// A group has come further.
    ///
    /// - Returns: its record; nil if it is over.
    func move(_ group: DeviceKey, to position: UInt64) -> KeptSession? {
        self.state.withLock { state in
            guard var entry = state.entries[group], !entry.session.subscriptions.isEmpty else { return nil }
            entry.session.subscriptions[0].position = max(position, entry.session.subscriptions[0].position)
            state.entries[group] = entry
            state.isMoved = true
            return entry.session
        }
    }

    // MARK: Entries

    private func insert(_ session: KeptSession, holder: UInt64, _ state: inout State) {
        let key = session.key
        if let old = state.entries[key]?.session {
            let wasQueued = Set(old.subscriptions.lazy.filter(\.isQueued).map(Interest.init))
            let isQueued = Set(session.subscriptions.lazy.filter(\.isQueued).map(Interest.init))
            // Those that stay are not touched: what is published now must find them.
            if wasQueued != isQueued {
                for interest in isQueued.subtracting(wasQueued) { self.note(interest, key, &state) }
                for interest in wasQueued.subtracting(isQueued) { self.forget(interest, key, &state) }
            }
        } else {
            state.counts[key.app, default: 0] += 1
            for subscription in session.subscriptions where subscription.isQueued { self.note(Interest(subscription), key, &state) }
        }
        state.entries[key] = Entry(session: session, holder: holder)
    }

    private func remove(_ key: DeviceKey, _ state: inout State) {
        guard let entry = state.entries.removeValue(forKey: key) else { return }
        state.counts[key.app, default: 1] -= 1
        if state.counts[key.app] == 0 { state.counts[key.app] = nil }
        for subscription in entry.session.subscriptions where subscription.isQueued { self.forget(Interest(subscription), key, &state) }
        state.isMoved = true
    }

    /// A subscription for which messages wait.
    private struct Interest: Hashable {
        var filter: TopicFilter
        var share: String?

        init(_ subscription: KeptSession.Subscription) {
            self.filter = subscription.filter
            self.share = subscription.options.share
        }

        static func == (left: Interest, right: Interest) -> Bool {
            left.filter == right.filter && isSameName(left.share, right.share)
        }
    }

    private func note(_ interest: Interest, _ key: DeviceKey, _ state: inout State) {
        if let share = interest.share {
            state.members[ShareName.key(share, interest.filter, key.app), default: []].insert(key)
            return
        }
        let isNew = state.interests[key.app, default: FilterTrie()].update(interest.filter) { keys in
            guard var own = keys else {
                keys = [key]
                return true
            }
            // Given up first, so that the set is not copied.
            keys = nil
            own.insert(key)
            keys = own
            return false
        }
        if isNew { self.interested.wrappingAdd(1, ordering: .relaxed) }
    }

    private func forget(_ interest: Interest, _ key: DeviceKey, _ state: inout State) {
        if let share = interest.share {
            let group = ShareName.key(share, interest.filter, key.app)
            state.members[group]?.remove(key)
            guard state.members[group]?.isEmpty == true else { return }
            state.members[group] = nil
            state.emptied.append(group)
            state.nextDue = 0
            return
        }
        let isLast = state.interests[key.app]?.update(interest.filter) { keys in
            guard var own = keys else { return false }
            keys = nil
            own.remove(key)
            if own.isEmpty { return true }
            keys = own
            return false
        }
        if isLast == true { self.interested.wrappingSubtract(1, ordering: .relaxed) }
        if state.interests[key.app]?.isEmpty == true { state.interests[key.app] = nil }
    }
}

/// Names the record of a group that shares a subscription; no client can have the name.
enum ShareName {
    private static let prefix = "\u{1}share/"

    static func key(_ share: String, _ filter: TopicFilter, _ app: AppID) -> DeviceKey {
        DeviceKey(app: app, name: self.prefix + share + "/" + filter.text)
    }

    static func isGroup(_ name: String) -> Bool { name.utf8.starts(with: self.prefix.utf8) }
}
