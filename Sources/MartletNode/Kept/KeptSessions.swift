import MartletCore
import MartletWire
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
        var quotas: KeptQuotas
        /// Sessions that live, and are not kept but for their will; with what that takes, in bytes.
        var lone: [DeviceKey: Int] = [:]
        /// Records that the store may still have though they are over, and how often it was told so: who begins anew waits for that.
        var leaving: [DeviceKey: Int] = [:]
        /// Records that the store could not write when it was told.
        var undone: Set<DeviceKey> = []
        /// Wills that could not be published, and what they weigh.
        var wills: [DeviceKey: [Will]] = [:]
        var willBytes = 0
        /// Topics of which something waits.
        var queues = NeedlessSearch()
        /// When something is due next; Unix time in milliseconds.
        var nextDue = Int64.max
        /// Kept subscriptions that share, by the group's record.
        var members: [DeviceKey: Set<DeviceKey>] = [:]
        /// Records of groups among the entries.
        var groups = 0
        /// Groups that may have lost their last kept member.
        var emptied: Set<DeviceKey> = []
    }

    private let state: Mutex<State>
    /// Held while a session begins or becomes due and the store is told so: what it is told of one session is in this order.
    private let order = Mutex(())
    /// Filters for which messages wait; read without the lock.
    private let interested = Atomic<Int>(0)

    init(_ limits: Limits) { self.state = Mutex(State(quotas: KeptQuotas(limits))) }

    func withLock<Result>(_ body: (inout sending State) -> sending Result) -> sending Result { self.state.withLock(body) }

    /// Sessions that are kept, live ones and records of groups included.
    var count: Int { self.state.withLock { $0.entries.count } }

    /// Sessions that are kept, live ones included.
    var clients: Int { self.state.withLock { $0.entries.count - $0.groups } }

    /// Whether messages of any topic wait for somebody.
    var hasQueues: Bool { self.interested.load(ordering: .relaxed) > 0 }

    subscript(key: DeviceKey) -> KeptSession? { self.state.withLock { $0.entries[key]?.session } }

    // MARK: Coming and going

    /// Runs what takes sessions up, or finds them due, and tells the store: one at a time.
    func inOrder(_ body: () -> Void) { self.order.withLock { _ in body() } }

    /// What was kept for a client that connects.
    struct Begun {
        var resumed: KeptSession?
        /// Whether the store may have something that is dropped now.
        var hasDropped = false
        /// The will of what is dropped.
        var will: Will?
    }

    /// A client connects. To be called ``inOrder(_:)``, as what the store is told of it.
    ///
    /// - Parameter wall: Unix time in milliseconds.
    /// - Throws: `too_many_sessions` if the app, or the user, has as much as it may keep; then all is as it was.
    func begin(_ key: DeviceKey, user: String?, terms: SessionTerms, holder: UInt64, wall: Int64) throws(WireError) -> Begun {
        try self.state.withLock { (state) throws(WireError) in
            var begun = Begun()
            let entry = state.entries[key]
            begun.resumed = Self.resumed(entry, user: user, terms, wall: wall)
            try state.quotas.check(
                key.app, user: user, isKept: terms.expirySeconds > 0 || begun.resumed != nil, will: terms.will, for: entry?.session)
            begun.hasDropped = state.leaving[key] != nil
            if begun.resumed == nil, let entry {
                begun.hasDropped = true
                begun.will = entry.session.will
                self.remove(key, &state)
            }
            // One that goes on has its record as long as it lives, even if that is only as long as this connection.
            guard terms.expirySeconds > 0 || begun.resumed != nil else {
                let weight = KeptQuotas.weight(terms.will)
                if weight > 0 { state.lone[key] = weight }
                state.quotas.add(weight, of: key.app)
                return begun
            }
            var session = begun.resumed ?? KeptSession(key: key, user: user, expirySeconds: 0)
            session.expirySeconds = terms.expirySeconds
            session.will = terms.will
            session.endedAt = nil
            self.insert(session, holder: holder, &state)
            return begun
        }
    }

    /// What goes on with a connection; nil if it begins anew.
    private static func resumed(_ entry: Entry?, user: String?, _ terms: SessionTerms, wall: Int64) -> KeptSession? {
        guard let entry, !terms.isClean, isSameName(entry.session.user, user), entry.holder != 0 || entry.session.expiresAt ?? .max > wall else {
            return nil
        }
        return entry.session
    }

    /// Asks whether a session could begin: before it takes over from one that it would not go on with.
    ///
    /// - Throws: as ``begin(_:user:terms:holder:wall:)``.
    func check(_ key: DeviceKey, user: String?, terms: SessionTerms, wall: Int64) throws(WireError) {
        try self.state.withLock { (state) throws(WireError) in
            let entry = state.entries[key]
            let isKept = terms.expirySeconds > 0 || Self.resumed(entry, user: user, terms, wall: wall) != nil
            // What a session that is not kept has as its will goes for this one's.
            let lone = state.lone[key] ?? 0
            state.quotas.add(-lone, of: key.app)
            defer { state.quotas.add(lone, of: key.app) }
            try state.quotas.check(key.app, user: user, isKept: isKept, will: terms.will, for: entry?.session)
        }
    }

    /// The connection of a client is gone whose session is not kept.
    ///
    /// - Returns: whether its will was.
    func endLone(_ key: DeviceKey) -> Bool {
        self.state.withLock { state in
            guard let weight = state.lone.removeValue(forKey: key) else { return false }
            state.quotas.add(-weight, of: key.app)
            return true
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
            state.queues.isMoved = true
            return true
        }
    }

    /// A live session has one subscription more: from now on messages wait for it.
    func add(_ subscription: KeptSession.Subscription, of key: DeviceKey, holder: UInt64) {
        self.state.withLock { state in
            guard state.entries[key]?.holder == holder else { return }
            if subscription.isQueued { self.note(Interest(subscription), key, &state) }
            state.entries[key]?.session.subscriptions.append(subscription)
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
            state.queues.isMoved = true
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
            state.emptied = Set(state.entries.keys.filter { ShareName.isGroup($0.name) && state.members[$0] == nil })
        }
    }

    /// What is over by now.
    struct Due {
        /// Sessions without their will from now on.
        var changed: [(session: KeptSession, will: Will)] = []
        var expired: [(key: DeviceKey, will: Will?)] = []
    }

    /// To be called ``inOrder(_:)``, as what the store is told of it.
    ///
    /// - Parameter isLive: whether a group has members that are there.
    func takeDue(wall: Int64, isLive: (DeviceKey) -> Bool) -> Due {
        self.state.withLock { state in
            var due = Due()
            if wall >= state.nextDue { self.findDue(wall: wall, &due, &state) }
            // Those who are there read what waits for their group.
            for group in state.emptied where !isLive(group) {
                state.emptied.remove(group)
                guard state.members[group] == nil, state.entries[group] != nil else { continue }
                self.remove(group, &state)
                due.expired.append((group, nil))
            }
            return due
        }
    }

    private func findDue(wall: Int64, _ due: inout Due, _ state: inout State) {
        state.nextDue = .max
        for (key, entry) in state.entries where entry.holder == 0 && entry.session.endedAt != nil && !ShareName.isGroup(key.name) {
            if let at = entry.session.expiresAt, at <= wall {
                due.expired.append((key, entry.session.will))
                continue
            }
            if let at = entry.session.willAt, at <= wall, let will = entry.session.will {
                state.quotas.remove(entry.session)
                state.entries[key]?.session.will = nil
                var session = entry.session
                session.will = nil
                state.quotas.add(session)
                due.changed.append((session, will))
            } else {
                state.nextDue = min(state.nextDue, entry.session.willAt ?? .max)
            }
            state.nextDue = min(state.nextDue, entry.session.expiresAt ?? .max)
        }
        for (key, _) in due.expired { self.remove(key, &state) }
    }

    // MARK: Entries

    func insert(_ session: KeptSession, holder: UInt64, _ state: inout State) {
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
            for subscription in session.subscriptions where subscription.isQueued { self.note(Interest(subscription), key, &state) }
        }
        if let old = state.entries[key]?.session { state.quotas.remove(old) } else if ShareName.isGroup(key.name) { state.groups += 1 }
        state.quotas.add(session)
        state.entries[key] = Entry(session: session, holder: holder)
    }

    func remove(_ key: DeviceKey, _ state: inout State) {
        guard let entry = state.entries.removeValue(forKey: key) else { return }
        if ShareName.isGroup(key.name) { state.groups -= 1 }
        state.quotas.remove(entry.session)
        for subscription in entry.session.subscriptions where subscription.isQueued { self.forget(Interest(subscription), key, &state) }
        state.queues.isMoved = true
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
            state.emptied.insert(group)
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
