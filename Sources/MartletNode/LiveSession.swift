import MartletCore
import MartletWire
import NIOCore

/// A session and its transport: carries out what the core decides. Confined to its shard's event loop.
///
/// It reads its device's inboxes (``InboxReader``), topics (``TopicReader``), or both.
final class LiveSession: SessionHandle, TimerWheelEntry, @unchecked Sendable {
    let shard: Shard
    /// Names the session in its cursors; readable from any thread.
    let tag: UInt32
    let id: String
    let app: AppID
    let transport: TransportKind
    private let heartbeatMs: Int64
    private let seesClient: Bool
    /// nil for an anonymous subscriber, who has topics only.
    var inbox: InboxReader?
    /// nil until it subscribes to a topic.
    var topics: TopicReader?
    /// nil without ``SessionTerms``.
    let book: SessionBook?
    /// A group's: nobody is connected by it.
    let isInternal: Bool
    /// What the client asked for; let go once the session is open, because there are many sessions.
    private(set) var hello: HelloBox?
    private(set) var client: (any LiveClient)?
    /// When it ends; Unix time in milliseconds, `Int64.max` for never.
    private var expiresAtMs: Int64
    /// What its token allows.
    var rights: TopicRights
    /// Its place among its user's sessions, from when it was admitted to its end.
    var place: SessionLimiter.Place?
    /// In the shard's count.
    var isCounted = false
    private(set) var isOpened = false
    private var isEnding = false
    private var isDraining = false
    /// In the shard's list of those to flush at the end of the turn.
    private var isTouched = false
    /// In the shard's list of those with something for the store.
    var isDirty = false
    private var lastSentMs: Int64
    private var lastHeardMs: Int64
    // Links of the timer wheel; -1 when not in it.
    var dueTick: Int64 = -1
    var wheelNext: LiveSession?
    unowned(unsafe) var wheelPrevious: LiveSession?

    init(_ hello: Hello, shard: Shard, client: any LiveClient, isInternal: Bool = false) {
        self.isInternal = isInternal
        let clock = shard.node.clock
        let random = clock.random()
        self.shard = shard
        self.app = hello.app
        self.heartbeatMs = hello.heartbeatMs
        self.seesClient = hello.seesClient
        self.expiresAtMs = hello.expiresAtMs ?? .max
        self.rights = hello.rights
        self.transport = hello.transport
        self.hello = HelloBox(hello)
        self.tag = max(1, UInt32(truncatingIfNeeded: random))
        self.id = String(clock.random(), radix: 36)
        self.book = hello.terms.flatMap { terms in
            hello.device.map {
                SessionBook(
                    DeviceKey(app: hello.app, name: $0), user: hello.user, terms: terms, holder: max(1, random),
                    windowMost: shard.node.limits.windowMessagesMax)
            }
        }
        let hasNoInbox = hello.user == nil && hello.device == nil || self.book != nil
        self.inbox = hasNoInbox ? nil : InboxReader(Session(hello, tag: self.tag, epoch: shard.node.store.epoch))
        self.client = client
        self.lastSentMs = clock.now()
        self.lastHeardMs = self.lastSentMs
    }

    var node: Node { self.shard.node }
    var user: String? { self.inbox?.session.user ?? self.book?.user }
    var device: String? { self.inbox?.session.device ?? self.book?.key.name }
    var deviceKey: DeviceKey? { self.device.map { DeviceKey(app: self.app, name: $0) } }

    /// Whether a client that says it is this user may speak for it; nil (dev mode) says nothing.
    func isOf(_ user: String?) -> Bool { user == nil || isSameName(user, self.user) }

    /// Whether it is open and was not told to go.
    var isLive: Bool { self.client != nil && self.isOpened && !self.isDraining }

    // MARK: Opening

    /// The record is there (nil for an ephemeral device).
    func opened(_ record: DeviceRecord?, end: UInt64) {
        guard let client = self.client, !self.isOpened else { return }
        guard !self.node.isDraining else {
            // The others were told already.
            self.refuse(Node.goingDown)
            return
        }
        let hello = self.hello?.value
        self.hello = nil
        var gaps: [GapNotice] = []
        do {
            if let inbox = self.inbox {
                gaps = try inbox.session.opened(
                    record, cursor: hello?.cursor, ramenSeq: hello?.ramenSeq, end: end, at: self.node.clock.wall())
            }
        } catch {
            self.refuse(error)
            return
        }
        self.markOpened()
        let started = self.startTopics(hello?.topics ?? [], cursor: hello?.cursor)
        var welcome = self.welcome()
        welcome.topics = started.notices
        // What is told missing after this is told again if it does not arrive. A poll's answer arrives as a whole.
        if !started.gaps.isEmpty, let hello, !hello.isPoll, let presented = hello.cursor {
            welcome.cursor = welcome.cursor.keepingUntold(of: presented)
        }
        client.opened(welcome)
        self.tell(gaps, client)
        self.tell(started.gaps, client, before: welcome.cursor, after: self.cursor)
        self.sendRetained(started.fresh)
        self.touch()
        self.noteUpdate()
        self.shard.schedule(self)
        self.pump()
        self.shard.endTurn()
    }

    func markOpened() {
        self.isOpened = true
        self.hello = nil
        if !self.isInternal { self.node.metrics.opened(self.transport) }
    }

    func welcome() -> Welcome {
        let limits = self.node.limits
        let window = self.inbox?.session.window
        var welcome = Welcome(
            session: self.id, ackMode: self.inbox?.session.ackMode ?? .none, heartbeatMs: self.heartbeatMs,
            windowMessages: window?.messages ?? limits.windowMessages, windowBytes: window?.bytes ?? limits.windowBytes,
            retryMs: RetryHint.pause(limits, random: self.node.clock.random()), serverTime: self.node.clock.wall(),
            cursor: self.cursor, user: self.user, device: self.device)
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

    // MARK: Sending

    func tell(_ gaps: [GapNotice], _ client: any LiveClient) {
        for gap in gaps {
            client.gap(gap)
            self.node.metrics.gap(gap.reason.rawValue)
        }
    }

    /// Reads on if there is something to read and room for it.
    func pump() {
        self.pumpInbox()
        self.pumpTopics()
        self.settleIfDone()
    }

    /// Tells a transport that waits for it that nothing more can be sent now.
    func settleIfDone() {
        guard self.isOpened, let client = self.client, self.inbox?.session.isCaughtUp ?? true,
            self.topics?.subscriptions.isCaughtUp ?? true, self.topics?.retained.isEmpty ?? true
        else { return }
        client.settled()
    }

    /// Something was queued: it is flushed at the end of the turn.
    func touch() {
        guard !self.isTouched else { return }
        self.isTouched = true
        self.shard.touched.append(self)
    }

    /// Called once at the end of a turn in which something was queued.
    func flush(now: Int64) {
        self.isTouched = false
        self.lastSentMs = now
        // Its values make an answer whole: it is touched again when they are there.
        guard !self.awaitsRetained else { return }
        guard let client = self.client, client.flush() else { return }
        // The window may have filled within the turn: what did not fit is read now.
        self.socketTookAll()
    }

    func socketTook() { self.socketTookAll() }

    private func socketTookAll() {
        if let inbox = self.inbox {
            self.ackWhatSocketTook(inbox)
            inbox.session.socketTook()
            self.pumpInbox()
        }
        // What is held back has not gone yet.
        if let topics = self.topics, self.book?.held.isEmpty ?? true {
            topics.subscriptions.socketTook()
            if topics.subscriptions.isBehind || !topics.retained.isEmpty { self.pumpTopicsLater() }
            if let book = self.book { self.tellGroupsOfRoom(book) }
        }
    }

    // MARK: Time

    /// The wheel's call: sends a heartbeat, or finds the client dead.
    func due(now: Int64) {
        guard let client = self.client, self.isLive else { return }
        let interval = self.heartbeatMs
        if self.expiresAtMs != .max, self.node.clock.wall() >= self.expiresAtMs {
            self.close(.tokenExpired, retryAfterMs: self.pause)
            return
        }
        if self.seesClient, now - self.lastHeardMs >= interval * 2 {
            self.close(.heartbeatTimeout, retryAfterMs: self.pause)
            return
        }
        let quiet = self.seesClient ? min(self.lastSentMs, self.lastHeardMs) : self.lastSentMs
        if now - quiet >= interval {
            client.heartbeat()
            self.touch()
            self.retryRetained()
            self.pump()
            self.shard.endTurn()
        }
        if self.client != nil { self.shard.schedule(self) }
    }

    /// How long to wait before connecting again, in milliseconds.
    var pause: Int64 { RetryHint.pause(self.node.limits, random: self.node.clock.random()) }

    /// When it wants to be called next, on the server's clock.
    var nextDue: Int64 {
        let interval = self.heartbeatMs
        let heartbeat = self.lastSentMs + interval
        let due = self.seesClient ? min(heartbeat, self.lastHeardMs + interval * 2) : heartbeat
        guard self.expiresAtMs != .max else { return due }
        // The wall clock may step: it is asked again at each heartbeat.
        let clock = self.node.clock
        return min(due, clock.now() + max(0, self.expiresAtMs - clock.wall()))
    }

    // MARK: What the transport says

    func renew(app: AppID, user: String?, device: String?, expiresAtMs: Int64?, rights: TopicRights) throws(WireError) {
        guard app == self.app, isSameName(user, self.user), device == nil || isSameName(device, self.device) else {
            throw WireError(.forbidden, "This token is not for the user and device of the session.")
        }
        self.renew(expiresAtMs: expiresAtMs, rights: rights)
    }

    func renew(expiresAtMs: Int64?, rights: TopicRights) {
        self.expiresAtMs = expiresAtMs ?? .max
        self.rights = rights
        guard self.client != nil, self.isOpened else { return }
        self.shard.schedule(self)
        self.endForbidden()
    }

    func heard() { self.lastHeardMs = self.node.clock.now() }

    func clientClosed() { self.end(self.isOpened && !self.isLive ? .serviceRestart : nil) }

    // MARK: Ending

    /// Another session of the device takes over.
    func takenOver() { self.close(.takenOver, retryAfterMs: nil) }

    /// The server goes down: nothing is sent any more, acks are still taken.
    func drain(retryAfterMs: Int64) {
        guard let client = self.client, self.isLive, !self.isInternal else { return }
        self.isDraining = true
        self.inbox?.session.drained()
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
        // Ending a session with terms may tell its client, which says then that it has closed.
        guard self.client != nil, !self.isEnding else { return }
        self.isEnding = true
        if self.isOpened, !self.isInternal { self.node.metrics.closed(self.transport, code) }
        if let book = self.book { self.end(book) }
        self.client = nil
        if let place = self.place { self.node.limiter.leave(place, nowMs: self.node.clock.now()) }
        self.place = nil
        self.endTopics()
        self.shard.remove(self)
        self.inbox?.session.closed()
    }
}

/// A hello on the heap, to be let go as a whole.
final class HelloBox {
    let value: Hello
    init(_ value: Hello) { self.value = value }
}
