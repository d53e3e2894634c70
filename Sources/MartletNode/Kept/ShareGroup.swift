import MartletCore
import MartletWire
import NIOCore

/// Sessions that share a subscription (MQTT 5.0 §4.8.2): what is published goes to one of them.
///
/// The group reads the topics as one session does, with one position, and hands each message to a member that has room. What a member
/// leaves unacked goes to another. Confined to the event loop of its shard.
final class ShareGroup: LiveClient, @unchecked Sendable {
    /// A message under way to a member.
    struct Part: Sendable {
        let group: ShareGroup
        let ticket: UInt64
        let member: UInt64

        /// The member has acked it.
        func landed() { self.group.shard.loop.execute { self.group.landed(self.ticket, self.member) } }

        /// The member has no room for it now, or is gone.
        func returned() { self.group.shard.loop.execute { self.group.returned(self.ticket, self.member) } }
    }

    struct Member {
        let id: UInt64
        let session: LiveSession
        var options: SubscribeOptions
        /// Messages that it may be handed now and has to ack, as far as the group knows.
        var room: Int
    }

    private struct Flight {
        var message: StoredMessage
        /// nil while no member has room.
        var member: UInt64?
        var isDurable: Bool
    }

    let key: DeviceKey
    let filter: TopicFilter
    let shard: Shard
    private var members: [Member] = []
    private var nextMember = 0
    private var reader: LiveSession?
    /// Whether its position is kept while nobody is there.
    private var isKept = false
    /// It is to be kept once its reader has read what only that one can.
    private var isToBeKept = false
    private var flights: [UInt64: Flight] = [:]
    private var lastTicket: UInt64 = 0
    /// Tickets of messages that wait for a member with room, oldest first.
    private var waiting: [UInt64] = []
    private var outbox: [(member: Member, message: StoredMessage, part: Part?)] = []
    private var isSaveScheduled = false
    /// What is held in memory for the reader.
    private var isRinged = false
    /// The newest message of the queue that was read: a reader that begins anew may begin before it.
    private var lastRead: UInt64 = 0

    /// Messages that may be under way to all members together.
    private static let flightsMost = 1_024
    /// How long a position waits before it is stored.
    private static let saveDelay = TimeAmount.milliseconds(250)

    init(key: DeviceKey, filter: TopicFilter, shard: Shard) {
        self.key = key
        self.filter = filter
        self.shard = shard
    }

    private var node: Node { self.shard.node }

    // MARK: Members

    func join(_ member: Member, isKept: Bool) {
        if let index = self.members.firstIndex(where: { $0.id == member.id }) {
            self.members[index].options = member.options
            self.members[index].room = max(member.room, self.members[index].room)
        } else {
            self.members.append(member)
        }
        if isKept, !self.isKept { self.isToBeKept = true }
        self.keepIfRead()
        if self.reader == nil { self.startReader() }
        self.dispatchWaiting()
    }

    /// From now on it reads the queue, from where its record began: some comes twice.
    private func keepIfRead() {
        guard self.isToBeKept, self.reader?.topics?.subscriptions.isBehind != true else { return }
        self.isToBeKept = false
        self.isKept = true
        self.endReader()
    }

    /// - Parameter unacked: what it has not acked.
    func leave(_ member: UInt64) {
        self.members.removeAll { $0.id == member }
        for (ticket, flight) in self.flights.sorted(by: { $0.key < $1.key }) where flight.member == member {
            self.flights[ticket]?.member = nil
            self.waiting.append(ticket)
        }
        self.waiting.sort()
        guard self.members.isEmpty else { return self.dispatchWaiting() }
        // The next member goes on after what was acked.
        self.save()
        self.endReader()
        self.flights = [:]
        self.waiting = []
    }

    private func startReader() {
        var hello = Hello(app: self.key.app, user: nil, device: nil, ackMode: .none, limits: self.node.limits)
        hello.heartbeatMs = 3_600_000
        hello.rights = .everything
        hello.transport = .mqtt
        var wish = SubscribeWish(filter: self.isKept ? QueueTopic.filter(of: self.filter) : self.filter)
        wish.options.qos = 1
        if self.isKept {
            let (record, isNew) = self.node.kept.group(self.key, self.filter, position: self.node.store.end)
            if isNew {
                // It was over just when somebody came.
                self.node.store(self.key, .set(settings: record.settings, state: record.state), will: nil)
                self.node.kept.dropIfNobodys(self.key)
            }
            wish.start = .after(min(record.subscriptions.first?.position ?? 0, self.node.store.end))
        } else {
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

    // MARK: Handing out

    func send(_ delivery: borrowing TopicDelivery) {
        guard !delivery.isRetained else { return }
        if self.isKept, delivery.message.marks.qos > 0, !delivery.message.liveOnly {
            guard delivery.message.offset > self.lastRead else { return }
            self.lastRead = delivery.message.offset
        }
        self.lastTicket += 1
        self.flights[self.lastTicket] = Flight(message: delivery.message, member: nil, isDurable: self.isKept)
        self.dispatch(self.lastTicket)
    }

    private func dispatch(_ ticket: UInt64) {
        guard let flight = self.flights[ticket] else { return }
        for step in 0..<self.members.count {
            let index = (self.nextMember + step) % self.members.count
            let member = self.members[index]
            let isAcked = min(member.options.qos, flight.message.marks.qos) > 0
            guard !isAcked || member.room > 0 else { continue }
            self.nextMember = index + 1
            if !isAcked {
                self.flights[ticket] = nil
                self.outbox.append((member, flight.message, nil))
                self.scheduleSave()
            } else {
                self.members[index].room -= 1
                self.flights[ticket]?.member = member.id
                self.outbox.append((member, flight.message, Part(group: self, ticket: ticket, member: member.id)))
            }
            return
        }
        self.waiting.append(ticket)
    }

    private func dispatchWaiting() {
        let waiting = self.waiting
        self.waiting = []
        for ticket in waiting { self.dispatch(ticket) }
        self.sendOut()
        guard self.hasRoom else { return }
        self.reader?.socketTook()
        guard self.isToBeKept else { return }
        self.keepIfRead()
        if self.reader == nil { self.startReader() }
    }

    private var hasRoom: Bool { self.waiting.isEmpty && self.flights.count < Self.flightsMost }

    /// Hands what was dispatched in this turn to the members, once for each of their loops.
    private func sendOut() {
        guard !self.outbox.isEmpty else { return }
        let outbox = self.outbox
        self.outbox = []
        for shard in self.node.shards {
            let own = outbox.filter { $0.member.session.shard === shard }
            guard !own.isEmpty else { continue }
            let bound = UncheckedParts(parts: own)
            shard.loop.execute {
                for one in bound.parts { one.member.session.takeShared(one.message, self.filter, one.member.options, one.part) }
                shard.endTurn()
            }
        }
    }

    private struct UncheckedParts: @unchecked Sendable {
        var parts: [(member: Member, message: StoredMessage, part: Part?)]
    }

    func landed(_ ticket: UInt64, _ member: UInt64) {
        guard self.flights[ticket]?.member == member else { return }
        self.flights[ticket] = nil
        if let index = self.members.firstIndex(where: { $0.id == member }) { self.members[index].room += 1 }
        self.scheduleSave()
        self.dispatchWaiting()
    }

    func returned(_ ticket: UInt64, _ member: UInt64) {
        guard self.flights[ticket]?.member == member else { return }
        self.flights[ticket]?.member = nil
        if let index = self.members.firstIndex(where: { $0.id == member }) { self.members[index].room = 0 }
        self.waiting.append(ticket)
        self.waiting.sort()
        self.dispatchWaiting()
    }

    /// A member that had no room has some.
    func hasRoom(_ member: UInt64, _ room: Int) {
        guard let index = self.members.firstIndex(where: { $0.id == member }) else { return }
        self.members[index].room = max(room, self.members[index].room)
        self.dispatchWaiting()
    }

    // MARK: Its position

    private func scheduleSave() {
        guard self.isKept, !self.isSaveScheduled else { return }
        self.isSaveScheduled = true
        self.shard.loop.scheduleTask(in: Self.saveDelay) {
            self.isSaveScheduled = false
            self.save()
        }
    }

    private func save() {
        let queue = QueueTopic.filter(of: self.filter)
        guard self.isKept, let topics = self.reader?.topics, let slot = topics.subscriptions.slot(of: queue) else { return }
        var position = topics.subscriptions.durablePosition(slot)
        for flight in self.flights.values where flight.isDurable { position = min(position, flight.message.offset - 1) }
        guard let record = self.node.kept.move(self.key, to: position) else { return }
        self.node.store.save([SessionSave(key: self.key, change: .set(settings: nil, state: record.state))]) { _ in }
    }

    // MARK: The reader's client

    func opened(_ welcome: Welcome) {}
    func refused(_ error: WireError) { self.readerEnded() }
    func send(_ delivery: borrowing Delivery) {}
    func gap(_ gap: GapNotice) {}
    func gap(_ gap: TopicGap, cursor: Cursor) {}
    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {}
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {}
    func presence(_ event: PresenceEvent) {}
    func settled() {}
    func heartbeat() {}

    func flush() -> Bool {
        self.sendOut()
        return self.hasRoom
    }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        // The store could not be read: again in a moment.
        self.readerEnded()
        guard !self.node.isDraining else { return }
        self.shard.loop.scheduleTask(in: .seconds(1)) {
            if self.reader == nil, !self.members.isEmpty { self.startReader() }
        }
    }
}
