import MartletCore
import MartletWire
import NIOCore

/// Sessions that share a subscription (MQTT 5.0 §4.8.2): what is published goes to one of them.
///
/// The group reads the topics as one session does, with one position, and hands each message to a member that has room. What a member
/// leaves unacked goes to another. Confined to the event loop of its shard.
final class ShareGroup: LiveClient, @unchecked Sendable {
    struct Member {
        let id: UInt64
        let session: LiveSession
        var options: SubscribeOptions
    }

    let key: DeviceKey
    let filter: TopicFilter
    let shard: Shard
    private var members: [UInt64: Member] = [:]
    // Unchecked: only the loop uses it, and no call runs within a change of it.
    @exclusivity(unchecked) private var dealer: ShareDealer
    private var reader: LiveSession?
    /// Whether its position is kept while nobody is there.
    private var isKept = false
    /// It is to be kept once its reader has read what only that one can.
    private var isToBeKept = false
    /// Offsets of what was unacked when the last member left: read before anything new. nil until its record was looked at.
    private var again: ArraySlice<UInt64>?
    private var isReadingAgain = false
    private var isSaveScheduled = false
    /// What is held in memory for the reader.
    private var isRinged = false
    /// The newest message of the queue that was read: a reader that begins anew may begin before it.
    private var lastRead: UInt64 = 0

    /// How long a position waits before it is stored.
    private static let saveDelay = TimeAmount.milliseconds(250)

    init(key: DeviceKey, filter: TopicFilter, shard: Shard) {
        self.key = key
        self.filter = filter
        self.shard = shard
        self.dealer = ShareDealer(windowBytes: shard.node.limits.windowBytes)
    }

    private var node: Node { self.shard.node }

    // MARK: Members

    /// - Parameter room: messages that it may be handed now and has to ack.
    func join(_ member: Member, room: Int, isKept: Bool) {
        self.members[member.id] = member
        self.dealer.join(member.id, qos: member.options.qos, room: room)
        if isKept, !self.isKept { self.isToBeKept = true }
        self.keepIfRead()
        self.start()
        self.deal()
    }

    /// From now on it reads the queue, from where its record began: some comes twice.
    private func keepIfRead() {
        guard self.isToBeKept, self.reader?.topics?.subscriptions.isBehind != true else { return }
        self.isToBeKept = false
        self.isKept = true
        self.endReader()
    }

    func leave(_ member: UInt64) {
        self.members[member] = nil
        self.dealer.leave(member)
        guard self.members.isEmpty else {
            self.deal()
            return
        }
        // The next member goes on with what was not acked.
        self.save()
        self.endReader()
        self.again = nil
    }

    // MARK: Reading

    private func start() {
        guard self.reader == nil, !self.isReadingAgain, !self.members.isEmpty else { return }
        guard self.isKept else { return self.startReader(self.filter, .latest) }
        let record = self.record()
        let position = min(record.subscriptions.first?.position ?? 0, self.node.store.end)
        // What lies after that comes anyway.
        if self.again == nil { self.again = record.flights.all.map(\.offset).filter { $0 <= position }[...] }
        self.readAgain()
    }

    private func record() -> KeptSession {
        let (record, isNew) = self.node.kept.group(self.key, self.filter, position: self.node.store.end)
        guard isNew else { return record }
        // It was over just when somebody came.
        self.node.kept.inOrder { self.node.store(self.key, .set(settings: record.settings, state: record.state), will: nil) }
        self.node.kept.dropIfNobodys(self.key)
        return record
    }

    private func readAgain() {
        guard self.reader == nil, !self.isReadingAgain, !self.members.isEmpty, self.dealer.isReady else { return }
        guard let offset = self.again?.first else {
            guard self.isKept else { return }
            let position = self.record().subscriptions.first?.position ?? 0
            return self.startReader(QueueTopic.filter(of: self.filter), .after(min(position, self.node.store.end)))
        }
        self.isReadingAgain = true
        let request = TopicReadRequest(
            app: self.key.app, filter: QueueTopic.all, start: .after(offset - 1), messages: 1, bytes: 1, now: self.node.clock.now())
        self.node.store.readTopic(request) { result in self.shard.loop.execute { self.readAgain(offset, result) } }
    }

    private func readAgain(_ offset: UInt64, _ result: Result<TopicSlice, StoreError>) {
        self.isReadingAgain = false
        guard !self.members.isEmpty, self.again?.first == offset else { return }
        guard case .success(let slice) = result else { return self.startLater() }
        self.again?.removeFirst()
        if let entry = slice.entries.first, entry.message.offset == offset { self.offer(entry.message, isQueued: true) }
        self.deal()
    }

    private func startReader(_ filter: TopicFilter, _ start: TopicStart) {
        var hello = Hello(app: self.key.app, user: nil, device: nil, ackMode: .none, limits: self.node.limits)
        hello.heartbeatMs = 3_600_000
        hello.rights = .everything
        hello.transport = .mqtt
        var wish = SubscribeWish(filter: filter)
        wish.options.qos = 1
        wish.start = start
        if !self.isKept {
            self.node.hub.expectAcks(self.filter, app: self.key.app, 1)
            self.isRinged = true
        }
        hello.topics = [wish]
        let reader = LiveSession(hello, shard: self.shard, client: self, isInternal: true)
        self.reader = reader
        reader.opened(nil, end: self.node.store.end)
    }

    private func endReader() {
        guard let reader = self.reader else { return }
        self.readerEnded()
        reader.clientClosed()
    }

    private func readerEnded() {
        self.reader = nil
        if self.isRinged { self.node.hub.expectAcks(self.filter, app: self.key.app, -1) }
        self.isRinged = false
    }

    /// The store could not be read: again in a moment.
    private func startLater() {
        guard !self.node.isDraining else { return }
        self.shard.loop.scheduleTask(in: .seconds(1)) { self.start() }
    }

    // MARK: Handing out

    func send(_ delivery: borrowing TopicDelivery) {
        guard !delivery.isRetained else { return }
        let message = delivery.message
        let isQueued = self.isKept && message.marks.qos > 0 && !message.liveOnly
        if isQueued {
            guard message.offset > self.lastRead else { return }
            self.lastRead = message.offset
        }
        self.offer(message, isQueued: isQueued)
    }

    private func offer(_ message: StoredMessage, isQueued: Bool) {
        self.dealer.offer(message, bytes: TopicMail.weight(message), isQueued: isQueued)
    }

    /// Hands out what members have room for, once for each of their loops, and reads on.
    @discardableResult
    private func deal() -> [ShareDealer.Hand] {
        let hands = self.handOut()
        if self.dealer.isReady { self.readOn() }
        return hands
    }

    private func readOn() {
        self.readAgain()
        self.reader?.socketTook()
        guard self.isToBeKept else { return }
        self.keepIfRead()
        self.start()
    }

    @discardableResult
    private func handOut() -> [ShareDealer.Hand] {
        var isDropped = false
        let hands = self.dealer.deal(now: self.node.clock.now(), isDropped: &isDropped)
        if isDropped { self.scheduleSave() }
        guard !hands.isEmpty else { return [] }
        let all = hands.compactMap { hand in self.members[hand.member].map { (hand: hand, member: $0) } }
        for shard in self.node.shards {
            let own = all.filter { $0.member.session.shard === shard }
            guard !own.isEmpty else { continue }
            let bound = UncheckedHands(hands: own)
            shard.loop.execute {
                let done = bound.hands.compactMap { one in
                    one.member.session.takeShared(one.hand, of: self, one.member.options).map { (one.hand, $0) }
                }
                shard.endTurn()
                guard !done.isEmpty else { return }
                self.shard.loop.execute { self.settle(done) }
            }
        }
        return hands
    }

    private struct UncheckedHands: @unchecked Sendable {
        var hands: [(hand: ShareDealer.Hand, member: Member)]
    }

    /// What became of messages at once.
    private func settle(_ done: [(hand: ShareDealer.Hand, outcome: ShareOutcome)]) {
        for (hand, outcome) in done {
            switch outcome {
            case .landed: if self.dealer.landed(hand.ticket, hand.member) { self.scheduleSave() }
            case .returned:
                guard self.dealer.returned(hand.ticket, hand.member), let session = self.members[hand.member]?.session else { continue }
                // Behind all that was handed to it before.
                session.shard.loop.execute { session.stopped(by: self) }
            }
        }
        self.deal()
    }

    /// A member has acked a message.
    ///
    /// - Parameter givesRoom: whether the room is the group's again.
    func landed(_ hand: ShareDealer.Hand, givesRoom: Bool) {
        guard self.dealer.landed(hand.ticket, hand.member, givesRoom: givesRoom) else { return }
        self.scheduleSave()
        self.deal()
    }

    /// A member that had no room has some.
    func hasRoom(_ member: UInt64, _ room: Int) {
        self.dealer.hasRoom(member, room)
        guard !self.deal().contains(where: { $0.member == member }), let session = self.members[member]?.session else { return }
        session.shard.loop.execute { session.passed() }
    }

    // MARK: Its position

    private func scheduleSave() {
        guard self.isKept, !self.isSaveScheduled else { return }
        self.isSaveScheduled = true
        self.shard.loop.scheduleTask(in: Self.saveDelay) {
            self.isSaveScheduled = false
            if !self.members.isEmpty { self.save() }
        }
    }

    private func save() {
        guard self.isKept else { return }
        let queue = QueueTopic.filter(of: self.filter)
        // Before the reader has begun, all that has moved is what is read again.
        let position = self.reader?.topics.flatMap { topics in topics.subscriptions.slot(of: queue).map { topics.subscriptions.durablePosition($0) } }
        let unacked = (self.dealer.unacked + (self.again ?? [])).sorted()
        // A group that is over must not be there again.
        self.node.kept.inOrder {
            guard let record = self.node.kept.move(self.key, to: position, unacked: unacked) else { return }
            self.node.store(self.key, .set(settings: record.settings, state: record.state), will: nil)
        }
    }

    // MARK: The reader's client

    func opened(_ welcome: Welcome) {}
    func refused(_ error: WireError) { self.readerEnded() }
    func send(_ delivery: borrowing Delivery) {}
    func gap(_ gap: GapNotice) {}
    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {}
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {}
    func presence(_ event: PresenceEvent) {}
    func settled() {}
    func heartbeat() {}

    /// All members hear what the group misses.
    func gap(_ gap: TopicGap, cursor: Cursor) {
        for session in self.members.values.map(\.session) {
            session.shard.loop.execute { session.missed(gap) }
        }
    }

    func flush() -> Bool {
        self.handOut()
        return self.dealer.isReady
    }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        self.readerEnded()
        self.startLater()
    }
}

/// What becomes of a message that a group hands to a member, if that is known at once.
enum ShareOutcome: Sendable {
    /// It needs no ack, or nobody gets it any more.
    case landed
    /// The member has no room for it now, or is gone.
    case returned
}
