package import Logging
package import MartletCore
package import MartletWire
import Metrics
package import NIOCore
import Synchronization

/// One server's shell around the core: knows the sessions, hands out what the store commits, and runs what the core decides.
///
/// A publish wakes each event loop that has receivers once. A session that is caught up and writable gets the message
/// from the commit itself; all others read on from the log when they can.
package final class Node: SessionGateway, MessageDesk, @unchecked Sendable {
    package let store: any LogStore
    package let limits: Limits
    package let clock: NodeClock
    let logger: Logger
    let metrics: NodeMetrics
    /// Of the metrics: taken for each ack, where copying all of them would cost more than what is counted.
    let acks: Counter
    let registry = Registry()
    let watches = Watches()
    let hub: TopicHub
    let board = PresenceBoard()
    let kept: KeptSessions
    let groups = ShareGroups()
    let copies = QueueCopies()
    let inStore = TopicsInStore()
    /// Topics without history of which messages are in the store on their way to who is there.
    let inLog = TopicsInStore()
    let namespaces: any TopicNamespaces
    let sessionCount = Atomic<Int>(0)
    let limiter: SessionLimiter
    private let draining = Atomic<Bool>(false)
    // Set once in init; shards refer back to the node.
    private(set) var shards: [Shard] = []

    /// - Parameters:
    ///   - loops: at most 64; a transport names one by its index.
    ///   - appSessions: how many sessions an app may have live; 0 is any number. Called with each session.
    package init(
        store: any LogStore, loops: [any EventLoop], limits: Limits, clock: NodeClock, logger: Logger,
        namespaces: any TopicNamespaces = PlainNamespaces(), metrics: NodeMetrics = NodeMetrics(),
        appSessions: @escaping @Sendable (AppID) -> Int = { _ in 0 }
    ) {
        self.store = store
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.limiter = SessionLimiter(limits, appSessions: appSessions)
        self.metrics = metrics
        self.acks = metrics.acks
        self.namespaces = namespaces
        self.kept = KeptSessions(limits)
        self.hub = TopicHub(loops: loops.count, limits: limits, random: clock.random())
        self.shards = loops.prefix(64).enumerated().map { Shard(index: $0.offset, loop: $0.element, node: self) }
        store.observe { [unowned self] in self.committed($0) }
    }

    func noteAck() { self.acks.increment() }

    /// Live sessions.
    package var sessions: Int { self.sessionCount.load(ordering: .relaxed) }

    private func committed(_ commits: [Commit]) {
        let time = NIODeadline.now()
        for (index, commits) in self.registry.route(commits, shards: self.shards.count).enumerated() where !commits.isEmpty {
            let shard = self.shards[index]
            shard.loop.execute { shard.deliver(commits, committed: time) }
        }
        self.published(commits)
    }

    func record(_ updates: [DeviceUpdate]) {
        self.store.record(updates)
        self.watches.changed(
            updates.flatMap { update in
                var inboxes = [InboxKey.everyone(in: update.device.app), .device(update.device.name, in: update.device.app)]
                if let user = update.user { inboxes.append(.user(user, in: update.device.app)) }
                return inboxes
            })
    }

    // MARK: SessionGateway

    package func open(_ hello: Hello, client: any LiveClient, shard index: Int) -> any SessionHandle {
        let shard = self.shards[index % self.shards.count]
        let session = LiveSession(hello, shard: shard, client: client)
        guard !self.isDraining else {
            session.refuse(Self.goingDown)
            return session
        }
        do throws(WireError) {
            try self.check(hello.topics, rights: hello.rights, app: hello.app)
        } catch {
            session.refuse(error)
            return session
        }
        let claim = Registry.Claim(shard: shard, session: session)
        var isClaimed = false
        if hello.beside, let device = session.deviceKey {
            // At once, or a session that comes meanwhile would be taken over.
            if let holder = self.registry.claimIfFree(device, for: claim) {
                self.stand(session, beside: holder, hello)
                return session
            }
            isClaimed = true
        }
        if hello.automaticReconnect, session.deviceKey != nil, let cursor = hello.cursor, self.registry.wasTakenOver(cursor.tag) {
            session.close(.takenOver, retryAfterMs: nil)
            return session
        }
        switch self.limiter.enter(
            hello, replaces: !isClaimed && session.deviceKey.map { self.registry.holder(of: $0) != nil } ?? false,
            // A poll that presents a cursor goes on with what another poll began.
            isCounted: !(hello.isPoll && hello.cursor != nil), nowMs: self.clock.now())
        {
        case .success(let place): session.place = place
        case .failure(let error):
            session.refuse(error)
            if isClaimed, let device = session.deviceKey { self.registry.release(device, by: session) }
            return session
        }
        guard let device = session.deviceKey else {
            shard.add(session)
            session.opened(nil, end: self.store.end)
            return session
        }
        shard.add(session)
        if let terms = hello.terms {
            self.openKept(session, terms, claim)
            return session
        }
        let opening = DeviceOpening(
            device: device, user: hello.user, fromNow: hello.fromNow,
            reserve: hello.ramenSeq == nil ? 0 : self.limits.seqBlock, at: self.clock.wall())
        if !isClaimed, let previous = self.registry.claim(device, for: claim, lineage: hello.cursor?.tag) {
            // What the old session recorded must be with the store before the new one asks for it.
            if previous.shard === shard {
                previous.session.takenOver()
                self.openDevice(opening, for: session)
            } else {
                previous.shard.loop.execute {
                    previous.session.takenOver()
                    self.openDevice(opening, for: session)
                }
            }
        } else {
            self.openDevice(opening, for: session)
        }
        return session
    }

    private func openDevice(_ opening: DeviceOpening, for session: LiveSession) {
        self.store.openDevice(opening) { result in
            session.shard.loop.execute {
                switch result {
                case .success(let record): session.opened(record, end: record.end)
                case .failure(let error): session.refuse(Self.wireError(error))
                }
            }
        }
    }

    /// A short poll beside a live session: its cursor is an ack for that session, and what it asks of topics may be.
    private func stand(_ session: LiveSession, beside holder: Registry.Claim, _ hello: Hello) {
        guard hello.cursor != nil || hello.changesLive else {
            session.standBeside()
            return
        }
        holder.shard.loop.execute {
            var refusal: WireError?
            do throws(WireError) {
                // A cursor that is another's acks nothing; the live session is not the poll's to disturb.
                if let cursor = hello.cursor, holder.session.isOf(session.user) { try? holder.session.ack(cursor) }
                if hello.changesLive { try holder.session.change(hello) }
            } catch {
                refusal = error
            }
            let answer = refusal
            session.shard.loop.execute { if let answer { session.refuse(answer) } else { session.standBeside() } }
        }
    }

    static let goingDown = WireError(.draining, "The server is shutting down: connect again in a moment.")

    static func wireError(_ error: StoreError) -> WireError {
        switch error.reason {
        case .tooManyDevices: WireError(.tooManyDevices, "This user has as many devices as one user may have.")
        case .unavailable, .stopped: WireError(.storeUnavailable, "The store cannot be written now: try again in a moment.")
        }
    }

    // MARK: Acks without a session

    package func ack(
        _ cursor: Cursor, app: AppID, user: String?, device: String, done: @escaping @Sendable (WireError?) -> Void
    ) {
        self.withHolder(of: DeviceKey(app: app, name: device), user: user, done: done) { (session) throws(WireError) in
            try session.ack(cursor)
        } orElse: {
            var hello = Hello(app: app, user: user, device: device, ackMode: .none, limits: self.limits)
            hello.cursor = cursor
            self.ackAway(hello, done: done)
        }
    }

    package func ack(
        ramen seq: UInt64, app: AppID, user: String?, device: String, done: @escaping @Sendable (WireError?) -> Void
    ) {
        self.withHolder(of: DeviceKey(app: app, name: device), user: user, done: done) { (session) throws(WireError) in
            guard session.inbox?.session.isRamen == true else {
                throw WireError(.badRequest, "The live session of this device does not speak RAMEN.")
            }
            try session.ack(.upTo(seq))
        } orElse: {
            var hello = Hello(app: app, user: user, device: device, ackMode: .none, limits: self.limits)
            hello.ramenSeq = seq
            self.ackAway(hello, done: done)
        }
    }

    package func ack(
        _ ack: SeqAck, session id: String, app: AppID, user: String?, device: String?,
        done: @escaping @Sendable (WireError?) -> Void
    ) {
        let unknown = WireError(.sessionUnknown, "No such session is live here: ack with the cursor instead.")
        guard let device else { return done(unknown) }
        self.withHolder(of: DeviceKey(app: app, name: device), user: user, done: done) { (session) throws(WireError) in
            guard session.id == id else { throw unknown }
            try session.ack(ack)
        } orElse: {
            done(unknown)
        }
    }

    /// Runs on the live session of a device, on its loop; otherwise elsewhere.
    private func withHolder(
        of device: DeviceKey, user: String?, done: @escaping @Sendable (WireError?) -> Void,
        _ body: @escaping @Sendable (LiveSession) throws(WireError) -> Void, orElse: @escaping @Sendable () -> Void
    ) {
        guard let holder = self.registry.holder(of: device) else { return orElse() }
        holder.shard.loop.execute {
            // It ended meanwhile, and what it knew is with the store.
            guard holder.session.client != nil else { return orElse() }
            do throws(WireError) {
                guard holder.session.isOf(user) else {
                    throw WireError(.forbidden, "This device is connected as another user: only that one can ack for it now.")
                }
                try body(holder.session)
                done(nil)
            } catch {
                done(error)
            }
        }
    }

    /// Acks for a device that is not connected here: a session without a transport.
    private func ackAway(_ hello: Hello, done: @escaping @Sendable (WireError?) -> Void) {
        guard let device = hello.device else { return done(WireError(.badRequest, "Name the device that acks.")) }
        let key = DeviceKey(app: hello.app, name: device)
        let opening = DeviceOpening(device: key, user: hello.user, fromNow: false, at: self.clock.wall())
        self.store.openDevice(opening) { result in
            switch result {
            case .failure(let error): done(Self.wireError(error))
            case .success(let record):
                do throws(WireError) {
                    var session = Session(hello, tag: 1, epoch: self.store.epoch)
                    let at = self.clock.wall()
                    let gaps = try session.opened(
                        record, cursor: hello.cursor, ramenSeq: hello.ramenSeq, end: record.end, at: at)
                    if let gap = gaps.first {
                        throw WireError(.invalidCursor, "The cursor's \(gap.scope) part is not this device's (\(gap.reason.rawValue)).")
                    }
                    if let update = session.takeUpdate(at: at) { self.record([update]) }
                    self.acks.increment()
                    done(nil)
                } catch {
                    done(error)
                }
            }
        }
    }

    // MARK: MessageDesk

    package var isDraining: Bool { self.draining.load(ordering: .relaxed) }

    package func publish(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        let finish: @Sendable ([AppendOutcome]) -> Void = { [metrics] outcomes in
            metrics.published(outcomes)
            done(outcomes)
        }
        if requests.contains(where: { $0.topic != nil }) {
            self.publishMixed(requests, done: finish)
        } else {
            self.store.append(requests, done: finish)
        }
    }

    package func recall(
        _ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void
    ) {
        let known = self.hub.recall(id, app: app, now: self.clock.now())
        // It may wait in a queue, too.
        if let known, !self.kept.hasQueues { return done(.success(known)) }
        // Before the message itself: when that is answered, both are taken back.
        if let copy = self.copies.copy(of: id) { self.store.recall(copy, app: app) { _ in } }
        self.store.recall(id, app: app) { result in
            let result = known.map { known in result.map { _ in known } } ?? result
            // The recall was announced to the loops before this; when each has passed here, none sends it any more.
            let counter = PassCounter(last: self.shards.count) { done(result) }
            for shard in self.shards { shard.loop.execute { counter.pass() } }
        }
    }

    package func status(
        _ id: MessageID, app: AppID, limit: Int, after: String?,
        done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void
    ) {
        // Positions that wait in the shards for company go first.
        let counter = PassCounter(last: self.shards.count) {
            self.store.status(
                StatusRequest(app: app, id: id, now: self.clock.now(), limit: limit, after: after), done: done)
        }
        for shard in self.shards {
            shard.loop.execute {
                shard.takeUpdates()
                counter.pass()
            }
        }
    }

    package func watch(_ targets: [InboxKey], wake: @escaping @Sendable () -> Void) -> UInt64 {
        self.watches.add(targets, wake: wake)
    }

    package func unwatch(_ watch: UInt64) { self.watches.remove(watch) }

    // MARK: Going down

    /// Tells every session when to come back, and refuses new ones. Acks are still taken until the connections are gone.
    package func drain() {
        self.draining.store(true, ordering: .sequentiallyConsistent)
        let count = self.sessions
        for shard in self.shards {
            shard.loop.execute {
                for session in shard.sessions {
                    session.drain(
                        retryAfterMs: RetryHint.drainPause(sessions: count, self.limits, random: self.clock.random()))
                }
            }
        }
    }

    /// Records the positions of all sessions that are left.
    package func flushPositions(done: @escaping @Sendable () -> Void) {
        let counter = PassCounter(last: self.shards.count, done: done)
        for shard in self.shards {
            shard.loop.execute {
                shard.takeUpdates()
                shard.saveChanged()
                counter.pass()
            }
        }
    }
}

/// Calls `done` when `last` parties have passed.
final class PassCounter: Sendable {
    private let passed = Atomic<Int>(0)
    private let last: Int
    private let done: @Sendable () -> Void

    init(last: Int, done: @escaping @Sendable () -> Void) {
        self.last = last
        self.done = done
    }

    func pass() {
        if self.passed.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == self.last { self.done() }
    }
}
