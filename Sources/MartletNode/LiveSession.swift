import MartletCore
import MartletWire
import NIOCore

/// A session and its transport: carries out what the core decides. Confined to its shard's event loop.
final class LiveSession: SessionHandle, TimerWheelEntry, @unchecked Sendable {
    let shard: Shard
    /// Same as ``Session/tag``; readable from any thread.
    let tag: UInt32
    let id: String
    private let app: AppID
    private let heartbeatMs: Int64
    private let seesClient: Bool
    private let transport: TransportKind
    /// A message that was sent live and whose ack is waited for, to measure it; one at a time.
    private var sample: (lane: Lane, offset: UInt64, committed: NIODeadline)?
    /// What the client asked for; let go once the session is open, because there are many sessions.
    private(set) var hello: HelloBox?
    private(set) var session: Session
    private(set) var client: (any LiveClient)?
    /// When it ends; Unix time in milliseconds, `Int64.max` for never.
    private var expiresAtMs: Int64
    /// Its place among its user's sessions, from when it was admitted to its end.
    var place: SessionLimiter.Place?
    private var isOpened = false
    private var isReserving = false
    /// In the shard's list of those to flush at the end of the turn.
    var isTouched = false
    /// In the shard's list of those with something for the store.
    var isDirty = false
    var lastSentMs: Int64
    var lastHeardMs: Int64
    // Links of the timer wheel; -1 when not in it.
    var dueTick: Int64 = -1
    var wheelNext: LiveSession?
    unowned(unsafe) var wheelPrevious: LiveSession?

    init(_ hello: Hello, shard: Shard, client: any LiveClient) {
        let clock = shard.node.clock
        let random = clock.random()
        self.shard = shard
        self.app = hello.app
        self.heartbeatMs = hello.heartbeatMs
        self.seesClient = hello.seesClient
        self.expiresAtMs = hello.expiresAtMs ?? .max
        self.transport = hello.transport
        self.hello = HelloBox(hello)
        self.tag = max(1, UInt32(truncatingIfNeeded: random))
        self.id = String(clock.random(), radix: 36)
        self.session = Session(hello, tag: self.tag, epoch: shard.node.store.epoch)
        self.client = client
        self.lastSentMs = clock.now()
        self.lastHeardMs = self.lastSentMs
    }

    var deviceKey: DeviceKey? { self.session.device.map { DeviceKey(app: self.app, name: $0) } }

    /// Whether a client that says it is this user may speak for it; nil (dev mode) says nothing.
    func isOf(_ user: String?) -> Bool { user == nil || isSameName(user, self.session.user) }

    /// The inboxes that it reads.
    var inboxes: [InboxKey] {
        var inboxes: [InboxKey] = [.everyone(in: self.app)]
        if let user = self.session.user { inboxes.append(.user(user, in: self.app)) }
        if let device = self.session.device { inboxes.append(.device(device, in: self.app)) }
        return inboxes
    }

    // MARK: Opening

    /// The record is there (nil for an ephemeral device).
    func opened(_ record: DeviceRecord?, end: UInt64) {
        guard let client = self.client, !self.session.isClosed else { return }
        guard !self.shard.node.isDraining else {
            // The others were told already.
            self.refuse(Node.goingDown)
            return
        }
        let hello = self.hello?.value
        self.hello = nil
        let clock = self.shard.node.clock
        let gaps: [GapNotice]
        do {
            gaps = try self.session.opened(
                record, cursor: hello?.cursor, ramenSeq: hello?.ramenSeq, end: end, at: clock.wall())
        } catch {
            self.refuse(error)
            return
        }
        self.isOpened = true
        self.shard.node.metrics.opened(self.transport)
        client.opened(self.welcome())
        self.tell(gaps, client)
        self.touch()
        self.noteUpdate()
        self.shard.schedule(self)
        self.pump()
        self.shard.endTurn()
    }

    private func welcome() -> Welcome {
        let node = self.shard.node
        var welcome = Welcome(
            session: self.id, ackMode: self.session.ackMode, heartbeatMs: self.heartbeatMs,
            windowMessages: self.session.window.messages, windowBytes: self.session.window.bytes,
            retryMs: RetryHint.pause(node.limits, random: node.clock.random()), serverTime: node.clock.wall(),
            cursor: self.session.cursor, user: self.session.user, device: self.session.device)
        if self.expiresAtMs != .max { welcome.expiresAtMs = self.expiresAtMs }
        return welcome
    }

    /// The session cannot be opened.
    func refuse(_ error: WireError) {
        guard let client = self.client else { return }
        self.end(nil)
        client.refused(error)
    }

    /// Another session of the device lives: this poll only acks.
    func standBeside() {
        guard let client = self.client else { return }
        var welcome = self.welcome()
        welcome.isBeside = true
        // It has not moved: what it presented stays its place.
        if let cursor = self.hello?.value.cursor { welcome.cursor = cursor }
        client.opened(welcome)
        client.settled()
    }

    // MARK: Delivering

    func committed(_ message: StoredMessage, scope: Scope, superseded: UInt64?, now: Int64, at: Int64) {
        switch self.session.committed(message, scope: scope, superseded: superseded, now: now, at: at) {
        case .wait:
            self.pump()
        case .send(let delivery):
            self.client?.send(delivery)
            self.shard.tally.sent(delivery, on: self.transport)
            if self.sample == nil {
                self.sample = (Lane(scope, message.priority), message.offset, self.shard.committedAt)
            }
            self.touch()
            self.noteUpdate()
        }
    }

    func recalled(offset: UInt64) { self.session.recalled(offset: offset) }

    private func tell(_ gaps: [GapNotice], _ client: any LiveClient) {
        for gap in gaps {
            client.gap(gap)
            self.shard.node.metrics.gap(gap.reason)
        }
    }

    /// Reads on if there is something to read and room for it.
    private func pump() {
        self.reserveIfNeeded()
        guard let request = self.session.nextRead(now: self.shard.node.clock.now()) else {
            if self.isOpened, self.session.isCaughtUp { self.client?.settled() }
            return
        }
        self.shard.node.store.read(request) { result in
            self.shard.loop.execute { self.readDone(result) }
        }
    }

    private func readDone(_ result: Result<ReadResult, StoreError>) {
        let clock = self.shard.node.clock
        switch result {
        case .failure:
            self.session.readFailed()
            self.shard.close(self, .storeUnavailable, retryAfterMs: RetryHint.pause(self.shard.node.limits, random: clock.random()))
            return
        case .success(let result):
            let out = self.session.readDone(result, now: clock.now(), at: clock.wall())
            if let client = self.client {
                self.tell(out.gaps, client)
                for delivery in out.deliveries {
                    client.send(delivery)
                    self.shard.tally.sent(delivery, on: self.transport)
                }
            }
            if !out.gaps.isEmpty || !out.deliveries.isEmpty { self.touch() }
            self.noteUpdate()
        }
        self.shard.endTurn()
        self.pump()
    }

    /// Reserves the next block of RAMEN numbers before the present one ends.
    private func reserveIfNeeded() {
        let block = self.shard.node.limits.seqBlock
        guard self.session.isRamen, self.session.isLive, !self.isReserving, self.session.seqLeft < block / 4,
            let device = self.deviceKey
        else { return }
        self.isReserving = true
        self.shard.node.store.reserve(block, for: device) { result in
            self.shard.loop.execute {
                self.isReserving = false
                switch result {
                case .success(let end):
                    self.session.reserved(to: end)
                    self.pump()
                case .failure:
                    // Tried again by the next heartbeat.
                    break
                }
            }
        }
    }

    /// Something was queued: it is flushed at the end of the turn.
    private func touch() {
        guard !self.isTouched else { return }
        self.isTouched = true
        self.shard.touched.append(self)
    }

    /// Called once at the end of a turn in which something was queued.
    func flush(now: Int64) {
        self.isTouched = false
        self.lastSentMs = now
        guard let client = self.client else { return }
        if client.flush() {
            // The window may have filled within the turn: what did not fit is read now.
            self.session.socketTook()
            self.pump()
        }
    }

    private func noteUpdate() {
        guard self.session.hasUpdate, !self.isDirty else { return }
        self.isDirty = true
        self.shard.dirtied(self)
    }

    /// What the store is to be told now.
    func takeUpdate(at: Int64) -> DeviceUpdate? {
        self.isDirty = false
        return self.session.takeUpdate(at: at)
    }

    // MARK: Time

    /// The wheel's call: sends a heartbeat, or finds the client dead.
    func due(now: Int64) {
        guard let client = self.client, self.session.isLive else { return }
        let interval = self.heartbeatMs
        if self.expiresAtMs != .max, self.shard.node.clock.wall() >= self.expiresAtMs {
            self.shard.close(self, .tokenExpired, retryAfterMs: RetryHint.pause(self.shard.node.limits, random: self.shard.node.clock.random()))
            return
        }
        if self.seesClient, now - self.lastHeardMs >= interval * 2 {
            self.shard.close(self, .heartbeatTimeout, retryAfterMs: RetryHint.pause(self.shard.node.limits, random: self.shard.node.clock.random()))
            return
        }
        let quiet = self.seesClient ? min(self.lastSentMs, self.lastHeardMs) : self.lastSentMs
        if now - quiet >= interval {
            client.heartbeat()
            self.touch()
            self.pump()
            self.shard.endTurn()
        }
        if self.client != nil { self.shard.schedule(self) }
    }

    /// When it wants to be called next, on the server's clock.
    var nextDue: Int64 {
        let interval = self.heartbeatMs
        let heartbeat = self.lastSentMs + interval
        let due = self.seesClient ? min(heartbeat, self.lastHeardMs + interval * 2) : heartbeat
        guard self.expiresAtMs != .max else { return due }
        // The wall clock may step: it is asked again at each heartbeat.
        let clock = self.shard.node.clock
        return min(due, clock.now() + max(0, self.expiresAtMs - clock.wall()))
    }

    // MARK: What the transport says

    func ack(_ ack: SeqAck) throws(WireError) {
        try self.session.acked(ack, at: self.shard.node.clock.wall())
        self.noteAck()
        self.pump()
    }

    func ack(_ cursor: Cursor) throws(WireError) {
        try self.session.acked(cursor, end: self.shard.node.store.end, at: self.shard.node.clock.wall())
        self.noteAck()
        self.pump()
    }

    // TEMPORARY until the node has topics.
    func subscribe(_ wishes: [SubscribeWish]) throws(WireError) {}
    func unsubscribe(_ filters: [TopicFilter]) {}
    func publish(_ request: AppendRequest, done: @escaping @Sendable (AppendOutcome) -> Void) throws(WireError) {}

    func renew(app: AppID, user: String?, device: String?, expiresAtMs: Int64?, rights: TopicRights) throws(WireError) {
        guard app == self.app, isSameName(user, self.session.user), device == nil || isSameName(device, self.session.device) else {
            throw WireError(.forbidden, "This token is not for the user and device of the session.")
        }
        self.renew(expiresAtMs: expiresAtMs)
    }

    func renew(expiresAtMs: Int64?) {
        self.expiresAtMs = expiresAtMs ?? .max
        if self.client != nil, self.isOpened { self.shard.schedule(self) }
    }

    private func noteAck() {
        let metrics = self.shard.node.metrics
        metrics.acked()
        if let sample = self.sample, self.session.acked[sample.lane] >= sample.offset {
            self.sample = nil
            metrics.acked(after: .now() - sample.committed)
        }
        self.noteUpdate()
    }

    func socketTook() {
        self.session.socketTook()
        self.pump()
    }

    func heard() { self.lastHeardMs = self.shard.node.clock.now() }

    func clientClosed() { self.end(self.isOpened && !self.session.isLive ? .serviceRestart : nil) }

    // MARK: Ending

    /// Another session of the device takes over.
    func takenOver() { self.shard.close(self, .takenOver, retryAfterMs: nil) }

    /// The server goes down: nothing is sent any more, acks are still taken.
    func drain(retryAfterMs: Int64) {
        guard let client = self.client, self.session.isLive else { return }
        self.session.drained()
        client.close(.serviceRestart, retryAfterMs: retryAfterMs)
    }

    /// Tells the client, then ends.
    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        guard let client = self.client else { return }
        self.end(code)
        client.close(code, retryAfterMs: retryAfterMs)
    }

    /// Leaves the shard; what the store must know is recorded at once.
    ///
    /// - Parameter code: nil if the client left.
    private func end(_ code: CloseCode?) {
        guard self.client != nil else { return }
        if self.isOpened { self.shard.node.metrics.closed(self.transport, code) }
        self.client = nil
        if let place = self.place { self.shard.node.limiter.leave(place, nowMs: self.shard.node.clock.now()) }
        self.place = nil
        self.shard.remove(self)
        self.session.closed()
    }
}

/// A hello on the heap, to be let go as a whole.
final class HelloBox {
    let value: Hello
    init(_ value: Hello) { self.value = value }
}
