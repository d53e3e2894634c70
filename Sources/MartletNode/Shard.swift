import MartletCore
import MartletWire
import NIOCore
import Synchronization

/// The sessions of one event loop. Everything in it happens on that loop.
final class Shard: @unchecked Sendable {
    let index: Int
    let loop: any EventLoop
    unowned let node: Node

    private var readers: [InboxKey: Readers] = [:]
    let topics = ShardTopics()
    private var wheel: TimerWheel<LiveSession>
    private var wheelTimer: Scheduled<Void>?
    /// Sessions with queued bytes, flushed once at the end of the turn.
    var touched: [LiveSession] = []
    private var dirty: [LiveSession] = []
    /// Sessions with terms: they may have neither inbox nor topics.
    private var booked: [ObjectIdentifier: LiveSession] = [:]
    /// Those of them whose state is to be stored.
    private var changed: [LiveSession] = []
    private var isSaveScheduled = false
    private var isUpdateScheduled = false
    /// What happened in this turn, for the metrics. Unchecked: only this loop adds to it, no call runs within an addition, and
    /// the check cost more than the addition.
    @exclusivity(unchecked) var tally = TurnTally()
    /// When what is being handed out was committed.
    private(set) var committedAt = NIODeadline.uptimeNanoseconds(0)

    /// How long positions wait for company before they go to the store.
    private static let updateDelay = TimeAmount.milliseconds(50)
    /// The same for the states of sessions, each a record of its own.
    private static let saveDelay = TimeAmount.milliseconds(250)

    init(index: Int, loop: any EventLoop, node: Node) {
        self.index = index
        self.loop = loop
        self.node = node
        self.wheel = TimerWheel(now: node.clock.now())
    }

    // MARK: Sessions

    /// From now on the session is told of commits to its inboxes.
    func add(_ session: LiveSession) {
        self.addInboxes(of: session)
        if session.book != nil { self.booked[ObjectIdentifier(session)] = session }
        session.isCounted = true
        self.node.sessionCount.wrappingAdd(1, ordering: .relaxed)
    }

    func addInboxes(of session: LiveSession) {
        for inbox in session.inboxes {
            if self.readers[inbox] == nil { self.node.registry.add(inbox, shard: self.index) }
            self.readers[inbox, default: .none].add(session)
        }
    }

    func removeInboxes(of session: LiveSession) {
        for inbox in session.inboxes {
            guard let removed = self.readers[inbox]?.remove(session), removed.wasThere, removed.isEmpty else { continue }
            self.readers[inbox] = nil
            self.node.registry.remove(inbox, shard: self.index)
        }
    }

    func remove(_ session: LiveSession) {
        self.wheel.remove(session)
        if let update = session.takeUpdate(at: self.node.clock.wall()) { self.node.record([update]) }
        guard session.isCounted else { return }
        session.isCounted = false
        self.node.sessionCount.wrappingSubtract(1, ordering: .relaxed)
        if session.book != nil { self.booked[ObjectIdentifier(session)] = nil }
        self.removeInboxes(of: session)
        if let device = session.deviceKey { self.node.registry.release(device, by: session) }
    }

    /// The sessions that read an inbox.
    func sessions(of inbox: InboxKey) -> [LiveSession] {
        var sessions: [LiveSession] = []
        self.readers[inbox]?.each { if $0.book == nil { sessions.append($0) } }
        for session in self.booked.values where inbox.scope == .user && session.app == inbox.app && isSameName(session.user, inbox.name) {
            sessions.append(session)
        }
        return sessions
    }

    /// Every session of this shard, once.
    var sessions: [LiveSession] {
        var seen: [ObjectIdentifier: LiveSession] = [:]
        for list in self.readers.values {
            list.each { seen[ObjectIdentifier($0)] = $0 }
        }
        for list in self.topics.readers.values {
            list.each { seen[ObjectIdentifier($0.session)] = $0.session }
        }
        for filters in self.topics.filters.values {
            filters.visitAll { $0.each { seen[ObjectIdentifier($0.session)] = $0.session } }
        }
        for (id, session) in self.booked { seen[id] = session }
        return Array(seen.values)
    }

    // MARK: Commits

    /// Hands commits to the sessions that read their inboxes; one flush for each session at the end.
    func deliver(_ commits: [Commit], committed: NIODeadline) {
        self.committedAt = committed
        let now = self.node.clock.now()
        let at = self.node.clock.wall()
        for commit in commits {
            switch commit {
            case .stored(let message, let targets, let superseded):
                for (index, target) in targets.enumerated() {
                    guard let list = self.readers[target] else { continue }
                    list.each {
                        $0.committed(message, scope: target.scope, superseded: superseded[index], now: now, at: at)
                    }
                }
            // Topics go by the hub.
            case .published: break
            case .recalled(let offset, let targets):
                for target in targets {
                    guard let list = self.readers[target] else { continue }
                    list.each { $0.recalled(offset: offset) }
                }
            }
        }
        let isSent = self.tally.isEmpty == false
        self.endTurn()
        if isSent { self.node.metrics.delivered(after: .now() - committed) }
    }

    /// Flushes everything that was queued in this turn.
    func endTurn() {
        guard !self.touched.isEmpty else { return }
        let now = self.node.clock.now()
        let touched = self.touched
        self.touched = []
        for session in touched { session.flush(now: now) }
        self.node.metrics.add(self.tally)
        self.tally = TurnTally()
    }

    // MARK: Time

    func schedule(_ session: LiveSession) {
        self.wheel.remove(session)
        self.wheel.add(session, due: session.nextDue)
        self.startTimer()
    }

    private func startTimer() {
        guard self.wheelTimer == nil, self.wheel.count > 0 else { return }
        self.wheelTimer = self.loop.scheduleTask(in: .milliseconds(TimerWheel<LiveSession>.tickMs)) { self.turnWheel() }
    }

    private func turnWheel() {
        self.wheelTimer = nil
        let now = self.node.clock.now()
        for session in self.wheel.advance(to: now) { session.due(now: now) }
        self.startTimer()
    }

    // MARK: Positions

    /// A session has something for the store.
    func dirtied(_ session: LiveSession) {
        self.dirty.append(session)
        guard !self.isUpdateScheduled else { return }
        self.isUpdateScheduled = true
        self.loop.scheduleTask(in: Self.updateDelay) { self.takeUpdates() }
    }

    /// The state of a session that is kept has changed.
    func dirtied(_ book: SessionBook, of session: LiveSession) {
        self.changed.append(session)
        guard !self.isSaveScheduled else { return }
        self.isSaveScheduled = true
        self.loop.scheduleTask(in: Self.saveDelay) { self.saveChanged() }
    }

    func saveChanged() {
        self.isSaveScheduled = false
        let changed = self.changed
        self.changed = []
        // Those that store more than their state, and as of when.
        var settled: [(session: LiveSession, revision: Int)] = []
        let saves = changed.compactMap { session in
            session.book.flatMap { book in
                guard book.isDirty, book.isBegun else { return SessionSave?.none }
                if book.areSettingsNew { settled.append((session, book.settingsRevision)) }
                return session.takeSave(book)
            }
        }
        guard !saves.isEmpty else { return }
        let all = settled
        self.node.store.save(saves) { error in
            guard error == nil, !all.isEmpty else { return }
            self.loop.execute { for one in all { one.session.book?.settingsStored(one.revision) } }
        }
    }

    func takeUpdates() {
        self.isUpdateScheduled = false
        let at = self.node.clock.wall()
        let dirty = self.dirty
        self.dirty = []
        let updates = dirty.compactMap { $0.takeUpdate(at: at) }
        if !updates.isEmpty { self.node.record(updates) }
    }
}
