/// The whole client without its I/O: what happened goes in with its time, what to do comes out.
///
/// Times are milliseconds of a clock that only goes forward. It is made of ``Link`` (the connection), ``Deliveries`` (messages),
/// ``TopicTable`` and ``Outbox``; what an action means is up to whoever runs it.
package struct ClientMachine {
    package enum Action: Sendable {
        /// Open this session; an earlier one has been ended.
        case open(SessionPlan)
        /// End the session with this number.
        case end(Int)
        /// Let the session with this number say what it has to say, then end it.
        case finish(Int)
        case send(ClientFrame)
        case askToken
        case probe(transport: Int)
        case connecting
        case connected
        case waiting(milliseconds: Int64, MartletError)
        /// Nothing follows.
        case stopped(MartletError?)
        /// These sequences have something to take.
        case ready(Set<Int>)
        /// This sequence is over.
        case fail(Int, MartletError)
        case gap(Gap)
        case presence(Presence, to: Set<Int>)
        case unsubscribed(topic: String, reason: String)
        case published(Int, Result<String, MartletError>)
        case problem(MartletError)
        /// What is to be kept has changed.
        case save
    }

    package struct Identity: Sendable {
        /// Dev mode only.
        package var user: String?
        package var device: Device
        package var fromNow = false
        package var window: Int?
        package init(user: String?, device: Device, fromNow: Bool = false, window: Int? = nil) {
            self.user = user
            self.device = device
            self.fromNow = fromNow
            self.window = window
        }
    }

    let identity: Identity
    /// The names of the transports, best first, and whether each can subscribe while the session stands.
    let transports: [(name: String, subscribes: Bool)]
    package internal(set) var link: Link
    package internal(set) var deliveries = Deliveries()
    package internal(set) var topics = TopicTable()
    var outbox: Outbox
    /// The device that ``Device/automatic`` has come to.
    package internal(set) var ownDevice: String?
    var isDoubted = false
    var isRestored = false
    var isReady = false
    var serverTimeMs: Int64?
    var welcomedAt: Int64 = 0
    var actions: [Action] = []

    package init(identity: Identity, transports: [(name: String, subscribes: Bool)], link: Link, publishQueue: Int) {
        self.identity = identity
        self.transports = transports
        self.link = link
        self.outbox = Outbox(most: publishQueue)
    }

    /// Hands out what there is to do, in order.
    package mutating func take(_ now: Int64) -> [Action] {
        for action in self.link.take() { self.translate(action, now) }
        defer { self.actions = [] }
        return self.actions
    }

    /// When ``timer(_:)`` is next to be called.
    package var deadline: Int64 { min(self.link.deadline, self.isReady ? self.outbox.notBefore ?? .max : .max) }

    /// What to keep for the next start.
    package var saved: SavedState {
        SavedState(device: self.ownDevice, cursor: self.deliveries.cursor, ahead: self.deliveries.ahead, heartbeat: self.link.tuner.saved)
    }

    // MARK: Begin and end

    /// Begins, with what was kept.
    ///
    /// - Parameter newDevice: the name for a device that has none yet.
    package mutating func start(_ saved: SavedState?, newDevice: @autoclosure () -> String, heartbeat: MartletOptions.Heartbeat, _ now: Int64) {
        guard !self.isRestored else { return }
        self.isRestored = true
        if let saved {
            self.deliveries.restore(cursor: saved.cursor, ahead: saved.ahead)
            self.link.tuner = HeartbeatTuner(heartbeat, saved: saved.heartbeat)
        }
        if case .automatic = self.identity.device {
            self.ownDevice = saved?.device ?? newDevice()
            if saved?.device == nil { self.actions.append(.save) }
        }
        self.link.start(now)
    }

    /// Ends for good; what was handled is still said.
    package mutating func close(_ now: Int64) {
        if self.isReady {
            self.actions.append(.finish(self.link.attempt))
            self.link.state = .waiting(until: .max)
        }
        self.isReady = false
        self.link.stop(nil)
    }

    // MARK: What the connection does

    package mutating func frame(_ attempt: Int, _ frame: ServerFrame, _ now: Int64) {
        guard attempt == self.link.attempt else { return }
        switch frame {
        case .heartbeat: return self.link.heard(attempt, isBeat: true, now)
        case .sign: return self.link.heard(attempt, isBeat: nil, now)
        default: self.link.heard(attempt, isBeat: false, now)
        }
        switch frame {
        case .welcome(let welcome): self.welcomed(attempt, welcome, now)
        case .message(let message): self.apply(self.deliveries.receive(message))
        case .gap(let gap, let cursor):
            self.apply(self.deliveries.place(cursor))
            self.actions.append(.gap(gap))
        case .presence(let presence): self.actions.append(.presence(presence, to: self.topics.watchers(of: presence.topic)))
        case .subscribed(let topics, let cursor):
            self.topics.confirmed(topics)
            self.apply(self.deliveries.place(cursor))
        case .unsubscribed(let topic, let reason):
            self.actions.append(.unsubscribed(topic: topic, reason: reason))
            guard reason == "forbidden" else { return }
            self.drop(topic, MartletError(.forbidden, "The token does not allow \(topic) any more."))
        case .published(let ref, let id):
            if self.outbox.remove(ref) { self.actions.append(.published(ref, .success(id))) }
            self.publishDue(now)
        case .refused(let error, let asked): self.refused(error, asked, now)
        case .renewed(let expiresAt):
            self.link.renewed(expiresAtMs: expiresAt, serverTimeMs: self.serverTimeMs.map { $0 + now - self.welcomedAt }, now)
        case .drain(let afterMs): self.link.drained(attempt, afterMs: afterMs)
        case .heartbeat, .sign: break
        }
    }

    private mutating func welcomed(_ attempt: Int, _ welcome: Welcome, _ now: Int64) {
        guard self.link.state == .connecting else { return }
        self.link.opened(attempt, welcome, now)
        self.serverTimeMs = welcome.serverTimeMs
        self.welcomedAt = now
        self.isDoubted = false
        self.isReady = true
        self.deliveries.opened(cursor: welcome.cursor)
        self.actions.append(.connected)
        let wishes = self.topics.afterWelcome()
        // One by one: those that are not allowed do not keep the others out.
        for wish in wishes { self.actions.append(.send(.subscribe([wish]))) }
        self.publishDue(now)
        self.actions.append(.save)
    }

    private mutating func refused(_ error: MartletError, _ asked: ServerFrame.Asked, _ now: Int64) {
        switch asked {
        case .publish(let ref):
            if error.isTemporary {
                self.outbox.postpone(ref, until: now + max(100, min(error.retryAfterMs ?? 1_000, 3_600_000)))
            } else if self.outbox.remove(ref) {
                self.actions.append(.published(ref, .failure(error)))
            }
            self.publishDue(now)
        case .subscribe(let topic): if let topic { self.drop(topic, error) }
        case .renewal: self.actions.append(.problem(error))
        }
    }

    private mutating func drop(_ topic: String, _ error: MartletError) {
        for consumer in self.topics.drop(topic).sorted() { self.actions.append(.fail(consumer, error)) }
    }

    package mutating func ended(_ attempt: Int, _ end: SessionEnd, _ now: Int64) {
        guard attempt == self.link.attempt else { return }
        self.isReady = false
        self.outbox.lost()
        self.link.ended(attempt, end, now)
    }

    package mutating func timer(_ now: Int64) {
        self.link.timer(now)
        if self.isReady, let notBefore = self.outbox.notBefore, now >= notBefore { self.publishDue(now) }
    }

    /// The reading is held up until there is room.
    package mutating func paused(_ isPaused: Bool, _ now: Int64) { self.link.paused(isPaused, now) }

    // MARK: What the app does

    package mutating func add(_ consumer: Int, _ wants: Deliveries.Wants, since: Since? = nil, _ now: Int64) {
        self.apply(self.deliveries.add(consumer, wants))
        for filter in wants.topics {
            guard let wish = self.topics.add(consumer, TopicWish(topic: filter, since: since)) else { continue }
            if since != nil { self.deliveries.forgetHandled(of: filter) }
            self.ask(wish, now)
        }
    }

    /// A sequence of who comes and goes.
    package mutating func watch(_ consumer: Int, _ filter: String, _ now: Int64) {
        if let wish = self.topics.add(consumer, TopicWish(topic: filter, presence: true)) { self.ask(wish, now) }
    }

    private mutating func ask(_ wish: TopicWish, _ now: Int64) {
        guard self.isReady else { return }
        if self.canSubscribe { return self.actions.append(.send(.subscribe([wish]))) }
        self.restart(now)
    }

    private var canSubscribe: Bool { self.transports[self.link.transport].subscribes || self.device != nil }

    private mutating func restart(_ now: Int64) {
        self.isReady = false
        self.outbox.lost()
        self.link.restart(now)
    }

    package mutating func remove(_ consumer: Int) {
        self.apply(self.deliveries.remove(consumer))
        let over = self.topics.remove(consumer)
        if self.isReady, self.canSubscribe, !over.isEmpty { self.actions.append(.send(.unsubscribe(over))) }
    }

    package mutating func next(for consumer: Int) -> Message? { self.deliveries.next(for: consumer) }

    package mutating func done(_ id: String, by consumer: Int) { self.apply(self.deliveries.done(id, by: consumer)) }

    /// - Returns: what its answer is known by.
    /// - Throws: `queue_full`.
    package mutating func publish(_ draft: Draft, _ now: Int64) throws(MartletError) -> Int {
        let ref = try self.outbox.add(draft)
        self.publishDue(now)
        return ref
    }

    package mutating func forgetPublish(_ ref: Int) { _ = self.outbox.remove(ref) }

    package mutating func probed(_ isThrough: Bool, _ now: Int64) {
        let before = self.link.attempt
        self.link.probed(isThrough, now)
        if self.link.attempt != before {
            self.isReady = false
            self.outbox.lost()
        }
    }

    package mutating func token(_ token: Result<String, MartletError>, _ now: Int64) {
        switch token {
        case .success(let token): self.link.tokenArrived(token, now)
        case .failure(let error): self.link.tokenFailed(error, now)
        }
    }

    private mutating func publishDue(_ now: Int64) {
        guard self.isReady else { return }
        for draft in self.outbox.due(at: now) { self.actions.append(.send(.publish(draft))) }
    }

    private mutating func apply(_ outcome: Deliveries.Outcome) {
        if !outcome.acks.isEmpty, self.isReady { self.actions.append(.send(.ack(outcome.acks))) }
        if !outcome.ready.isEmpty { self.actions.append(.ready(outcome.ready)) }
        if outcome.isMoved { self.actions.append(.save) }
    }
}
