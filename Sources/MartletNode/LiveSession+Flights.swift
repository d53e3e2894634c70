import MartletCore
import MartletWire
import NIOCore

/// Messages of topics whose client acks them one by one.
extension LiveSession {
    /// A message was published to a topic that it subscribes to.
    func announced(
        _ slot: Int, _ shared: borrowing TopicDelivery, topic: String, log: TopicLogKind?, weight: Int, _ topics: TopicReader, _ book: SessionBook
    ) {
        let offset = shared.message.offset
        guard let grant = topics.subscriptions.grant(slot, topic, shared.message.marks, origin: book.origin) else {
            // Its own: passed over.
            _ = topics.subscriptions.announced(slot, offset: offset, topic: topic, log: log, bytes: 0)
            if log == .durable { self.noteState(book) }
            return self.pumpAfterMiss(topics)
        }
        let mustWait = !topics.retained.isEmpty && self.waitsForRetained(shared.message, topic, log, weight, topics)
        guard
            topics.subscriptions.announced(
                slot, offset: offset, topic: topic, log: log, bytes: weight, isAcked: grant.qos > 0, mustWait: mustWait)
        else {
            return self.pumpAfterMiss(topics)
        }
        self.hand(shared, grant, log, book)
    }

    /// What was read of the log.
    func send(_ entries: [TopicSlice.Entry], of read: TopicSubscriptions.TopicRead, _ topics: TopicReader, _ book: SessionBook) {
        if read.log == .durable, !entries.isEmpty { self.noteWaiting(entries) }
        for entry in entries {
            guard let grant = topics.subscriptions.grant(read.slot, entry.topic, entry.message.marks, origin: book.origin) else { continue }
            self.hand(
                TopicDelivery(message: entry.message, isRetained: false, cursor: nil, isCursorShared: false, frames: SharedFrames()), grant,
                read.log, book)
        }
    }

    /// What is read of a queue may have been there since before the start: it is found again when all have it.
    private func noteWaiting(_ entries: [TopicSlice.Entry]) {
        for entry in entries where QueueTopic.isQueue(entry.topic) {
            self.node.kept.queued(TopicKey(app: self.app, name: QueueTopic.original(of: entry.topic)), offset: entry.message.offset)
        }
    }

    /// Hands a message to the transport, or keeps it back until what must be stored first is.
    func hand(
        _ delivery: borrowing TopicDelivery, _ grant: TopicSubscriptions.Grant, _ log: TopicLogKind?, _ book: SessionBook,
        isApart: Bool = false
    ) {
        guard let client = self.client else { return }
        var ticket = DeliveryTicket(
            qos: grant.qos, isRetained: delivery.isRetained || grant.retainAsPublished && delivery.message.marks.isRetained,
            identifier: grant.identifier, moreIdentifiers: grant.moreIdentifiers)
        if grant.qos > 0 {
            ticket.number = book.flights.start(
                grant.qos == 2 ? .sentOnce : .sent, log ?? .memory, offset: delivery.message.offset, isApart: isApart || log == nil)
            self.noteState(book)
        } else if log == .durable {
            self.noteState(book)
        }
        if book.held.isEmpty, !(grant.qos == 2 && book.isKept) {
            client.send(delivery, ticket)
        } else {
            self.hold(.message(copy delivery, ticket), book)
        }
        self.shard.tally.sentTopic(on: self.transport)
        self.touch()
    }

    /// How many may be started, beside those under way: none while there is something that is to be sent again first.
    func setAckRoom(_ book: SessionBook) {
        self.topics?.subscriptions.ackRoom = book.isCatchingUp ? 0 : max(0, book.windowMessages - book.flights.count)
    }

    // MARK: Acks

    func acked(number: UInt16) -> Bool {
        guard let book = self.book, let flight = book.flights.land(number, in: .sent) else { return false }
        self.landed(flight, book)
        return true
    }

    func completed(number: UInt16) -> Bool {
        guard let book = self.book, let flight = book.flights.land(number, in: .released) else { return false }
        self.landed(flight, book)
        return true
    }

    func received(number: UInt16, isRefused: Bool) -> Bool {
        guard let book = self.book else { return false }
        if isRefused {
            guard let flight = book.flights.land(number, in: .sent, .sentOnce) else { return false }
            self.landed(flight, book)
            return true
        }
        guard book.flights.received(number) else { return false }
        book.retainedNumbers[number] = nil
        if book.isKept {
            self.hold(.release(number), book)
        } else {
            self.client?.release(number)
            self.touch()
            // With what else comes in this turn.
            self.shard.loop.execute { self.shard.endTurn() }
        }
        return true
    }

    private func landed(_ flight: Flights.Flight, _ book: SessionBook) {
        self.node.noteAck()
        self.noteState(book)
        if !book.retainedNumbers.isEmpty { book.retainedNumbers[flight.number] = nil }
        if !book.shared.isEmpty { self.landedShared(flight.number, book) }
        if book.inboxWaits { self.startWaitingInbox(book) }
        // A smaller window than before may not have taken all of what is sent again.
        guard !book.isCatchingUp else { return self.sendAgain(book) }
        self.setAckRoom(book)
        self.tellGroupsOfRoom(book)
        guard let topics = self.topics else { return }
        topics.retained.hasFailed = false
        if !topics.retained.isEmpty || topics.subscriptions.isBehind && !topics.subscriptions.isWaitingForSocket { self.pumpTopicsLater() }
    }
}
