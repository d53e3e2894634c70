import MartletCore
import MartletWire
import NIOCore

/// Retained values over a new connection of a kept session: those that were under way, and those that were still to be sent.
extension LiveSession {
    // MARK: Still to be sent

    /// Values that are still to be sent, and that the client has to ack.
    func retainedAgain(_ book: SessionBook) -> [String] {
        guard let topics = self.topics, !topics.retained.isEmpty else { return [] }
        return topics.retained.rest { filter in book.subscriptions.contains { $0.filter == filter && $0.options.qos > 0 } }.map(\.text)
    }

    /// Goes on with values that were to be sent when the connection before this one ended.
    func resumeRetained(_ kept: KeptSession, _ book: SessionBook) {
        var group: UInt32?
        var finished: [TopicFilter] = []
        var isOwed = false
        for text in kept.retainedAgain {
            switch RetainedRest(text) {
            case .topic(let name):
                group = nil
                guard let own = book.subscriptions.first(where: { $0.filter.matches(name) && $0.options.share == nil }) else { continue }
                let topic = TopicFilter(topic: name)
                self.topics?.retained.begin()
                self.oweRetained(
                    topic, for: own.filter, reader: book.actual(own), self.node.retainedLogs(of: topic, in: self.app), self.resumedEnds(nil, own))
            case .finished(let filter): if let own = book.subscription(filter) { finished.append(own.filter) }
            case .feed(let filter, let log, let after, let number, let ends):
                guard let own = book.subscription(filter) else {
                    (finished, isOwed) = ([], false)
                    continue
                }
                if group != number || ends == nil { self.topics?.retained.begin() }
                for filter in finished { self.topics?.retained.finish(filter) }
                (group, finished) = (number, [])
                isOwed = self.oweRetained(
                    own.filter, for: own.filter, reader: book.actual(own),
                    Array(self.node.retainedLogs(of: own.filter, in: self.app).drop { $0 != log }), self.resumedEnds(ends, own), after: after,
                    isResumed: true)
            case .early(let name): if isOwed { self.topics?.retained.sentEarly(name) }
            case nil: continue
            }
        }
    }

    /// What is newer came while the client was away, and waited if it is to be acked.
    private func resumedEnds(_ ends: TopicSubscriptions.Ends?, _ own: KeptSession.Subscription) -> TopicSubscriptions.Ends {
        let epoch = self.node.hub.memoryEpoch
        // Nothing waits, or nobody knows what: some may come both as a value and as a message.
        guard var ends, own.isQueued else { return .init(memoryEpoch: epoch, memory: .max, durable: .max) }
        if ends.memoryEpoch != epoch { (ends.memoryEpoch, ends.memory, ends.lateUpTo) = (epoch, 0, 0) }
        return ends
    }

    // MARK: Under way

    /// Sends a value again that was under way, if it is still its topic's.
    func sendValueAgain(_ flight: Flights.Flight, of flying: KeptSession.ValueInFlight, _ book: SessionBook) {
        let topic = flying.topic
        let key = TopicKey(app: self.app, name: topic)
        let now = self.node.clock.now()
        if flight.log == .memory {
            // In a new history offsets begin anew.
            let value = self.node.hub.retained(key, now: now)
            return self.sendValueAgain(flight, of: flying, value, isKnown: book.memoryEpoch == self.node.hub.memoryEpoch, book)
        }
        book.isReadingAgain = true
        self.node.store.retained(RetainedRequest(app: self.app, filter: TopicFilter(topic: topic), values: 1, now: now)) { result in
            self.shard.loop.execute {
                guard let book = self.book, self.client != nil else { return }
                book.isReadingAgain = false
                guard case .success(let slice) = result else { return self.close(.storeUnavailable, retryAfterMs: self.pause) }
                self.sendValueAgain(flight, of: flying, slice.entries.first?.message, isKnown: true, book)
                self.sendAgain(book)
                self.shard.endTurn()
            }
        }
    }

    private func sendValueAgain(
        _ flight: Flights.Flight, of flying: KeptSession.ValueInFlight, _ value: StoredMessage?, isKnown: Bool, _ book: SessionBook
    ) {
        guard book.again.first == flight, let client = self.client else { return }
        book.again.removeFirst()
        let value = value.flatMap { value in
            value.isExpired(at: self.node.clock.now()) || !self.maySend(flying.topic) ? nil : value
        }
        if let value, isKnown, value.offset == flight.offset {
            return self.sendValue(value, of: flying, .init(number: flight.number, qos: flight.step == .sentOnce ? 2 : 1, isRepeated: true), client)
        }
        self.giveUp(flight, client, book)
        // What was to be acked has waited in the queue, and comes as a message.
        if let value, value.marks.qos == 0 { self.sendValue(value, of: flying, DeliveryTicket(), client) }
    }

    private func sendValue(
        _ value: StoredMessage, of flying: KeptSession.ValueInFlight, _ ticket: DeliveryTicket, _ client: any LiveClient
    ) {
        var ticket = ticket
        ticket.isRetained = true
        // The subscription may have gone meanwhile.
        ticket.identifier = self.book?.subscription(flying.filter)?.options.identifier ?? 0
        client.send(TopicDelivery(message: value, isRetained: true, cursor: nil, isCursorShared: false, frames: SharedFrames()), ticket)
        self.shard.tally.sentTopic(on: self.transport)
        self.touch()
    }
}

extension SessionBook {
    /// A subscription that is in no group, by the text of its filter.
    fileprivate func subscription(_ filter: String) -> KeptSession.Subscription? {
        self.subscriptions.first { isSameName($0.filter.text, filter) && $0.options.share == nil }
    }
}
