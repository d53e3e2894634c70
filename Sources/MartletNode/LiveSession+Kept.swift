import MartletCore
import MartletWire
import NIOCore

/// Sessions with ``SessionTerms``: how they begin, are stored, go on and end.
extension LiveSession {
    // MARK: Beginning

    /// What was kept is found, and what has changed is stored.
    func begin(_ resumed: KeptSession?) {
        guard let client = self.client, let book = self.book, !self.isOpened else { return }
        guard !self.node.isDraining else { return self.refuse(Node.goingDown) }
        self.markOpened()
        book.isBegun = true
        book.entered = nil
        var welcome = self.welcome()
        welcome.standing = SessionStanding(
            isResumed: resumed != nil, expirySeconds: book.expirySeconds, acksInbox: resumed?.inbox?.acks)
        client.opened(welcome)
        if let resumed { self.resume(resumed, book) }
        self.touch()
        self.shard.schedule(self)
        self.pump()
        self.shard.endTurn()
    }

    private func resume(_ kept: KeptSession, _ book: SessionBook) {
        book.flights = kept.flights
        book.retainedNumbers = kept.retainedNumbers
        book.memoryEpoch = kept.memoryEpoch
        // Of what was still under way when it was asked for, some may have failed.
        book.received = Set(self.node.kept[book.key]?.received ?? kept.received)
        book.again = kept.flights.all[...]
        book.inbox = kept.inbox
        for subscription in kept.subscriptions {
            let options = subscription.options
            // What it may, may have changed while it was away.
            guard self.rights.allows(.subscribe, subscription.filter, self.node.access(to: subscription.filter, in: self.app)) else {
                book.settingsChanged()
                continue
            }
            book.subscriptions.append(subscription)
            if options.share != nil {
                self.joinGroup(subscription.filter, options, book)
                continue
            }
            self.ring(subscription.filter, options, 1)
            var wish = SubscribeWish(filter: book.actual(subscription))
            wish.options = options
            if QueueTopic.isQueue(wish.filter.text) { wish.start = .after(min(subscription.position, self.node.store.end)) }
            _ = self.startTopics([wish], cursor: nil)
        }
        self.topics?.subscriptions.goOn(
            kept.subscriptions.map { .init(filter: book.actual($0), from: $0.from, position: $0.position) },
            ended: kept.ended.map { .init(filter: QueueTopic.filter(of: $0.filter), from: $0.from, position: $0.position) })
        self.resumeRetained(kept, book)
        self.setAckRoom(book)
        if kept.inbox != nil { self.startInbox(book) { _ in } }
        if book.areSettingsNew {
            self.tellKept(book, isAsked: true)
            self.noteState(book)
        }
        self.sendAgain(book)
    }

    /// Sends again what was under way when the connection before this one ended, oldest first.
    func sendAgain(_ book: SessionBook) {
        guard !book.isReadingAgain else { return }
        while let flight = book.again.first, let client = self.client {
            guard book.flights.count - book.again.count < book.windowMessages else { return }
            // Acked meanwhile: the client knew it.
            guard book.flights.all.contains(where: { $0.number == flight.number }) else {
                book.again.removeFirst()
                continue
            }
            guard flight.step != .released else {
                book.again.removeFirst()
                client.release(flight.number)
                self.touch()
                continue
            }
            if let value = book.retainedNumbers[flight.number] {
                self.sendValueAgain(flight, of: value, book)
                guard !book.isReadingAgain, self.book != nil else { return }
                continue
            }
            let request = TopicReadRequest(
                app: self.app, filter: QueueTopic.all, start: .after(flight.offset - 1), messages: 1, bytes: 1, now: self.node.clock.now())
            book.isReadingAgain = true
            self.node.store.readTopic(request) { result in
                self.shard.loop.execute { self.sendAgain(flight, result) }
            }
            return
        }
        self.setAckRoom(book)
        self.tellGroupsOfRoom(book)
        self.pumpTopics()
    }

    /// Whether a message that was under way may still go to the client, whose rights may have changed while it was away.
    func maySend(_ topic: String) -> Bool {
        let filter = TopicFilter(topic: QueueTopic.original(of: topic))
        return self.rights.allows(.subscribe, filter, self.node.access(to: filter, in: self.app))
    }

    private func sendAgain(_ flight: Flights.Flight, _ result: Result<TopicSlice, StoreError>) {
        guard let book = self.book, let client = self.client else { return }
        book.isReadingAgain = false
        guard book.again.first == flight else { return self.sendAgain(book) }
        guard case .success(let slice) = result else { return self.close(.storeUnavailable, retryAfterMs: self.pause) }
        book.again.removeFirst()
        if let entry = slice.entries.first, entry.message.offset == flight.offset, !entry.message.isExpired(at: self.node.clock.now()),
            self.maySend(entry.topic)
        {
            let grant = self.grant(for: entry.topic, entry.message.marks)
            let ticket = DeliveryTicket(
                number: flight.number, qos: flight.step == .sentOnce ? 2 : 1, isRepeated: true,
                isRetained: grant?.retainAsPublished == true && entry.message.marks.isRetained, identifier: grant?.identifier ?? 0,
                moreIdentifiers: grant?.moreIdentifiers ?? [])
            client.send(
                TopicDelivery(message: entry.message, isRetained: false, cursor: nil, isCursorShared: false, frames: SharedFrames()), ticket)
            self.shard.tally.sentTopic(on: self.transport)
        } else {
            self.giveUp(flight, client, book)
        }
        self.touch()
        self.sendAgain(book)
        self.shard.endTurn()
    }

    /// What was under way is gone.
    func giveUp(_ flight: Flights.Flight, _ client: any LiveClient, _ book: SessionBook) {
        book.retainedNumbers[flight.number] = nil
        self.noteState(book)
        if flight.step == .sentOnce {
            // The client may have it, and must not take the number's next message for it.
            _ = book.flights.received(flight.number)
            client.release(flight.number)
        } else {
            _ = book.flights.land(flight.number, in: .sent)
        }
        self.touch()
    }

    /// How a message goes that one of the subscriptions matches.
    private func grant(for topic: String, _ marks: MessageMarks) -> TopicSubscriptions.Grant? {
        guard let topics = self.topics, let match = topics.subscriptions.all.first(where: { $0.filter.matches(topic) }) else { return nil }
        return topics.subscriptions.grant(match.slot, topic, marks, origin: 0)
    }

    // MARK: The inbox

    func startInbox(_ book: SessionBook, done: @escaping (WireError?) -> Void) {
        guard let wish = book.inbox, self.inbox == nil else { return done(nil) }
        book.keepsRoomForInbox = wish.acks
        self.setAckRoom(book)
        guard book.flights.count <= book.windowMessages else {
            // Its share of the window is taken by what is under way.
            book.inboxWaits = true
            return done(nil)
        }
        var hello = Hello(app: self.app, user: book.user, device: book.key.name, ackMode: wish.acks ? .explicit : .none, limits: self.node.limits)
        // Of this connection, whatever an earlier one had.
        hello.windowMessages = wish.acks ? book.inboxWindow : min(max(1, wish.windowMessages), self.node.limits.windowMessagesMax)
        let reader = InboxReader(Session(hello, tag: self.tag, epoch: self.node.store.epoch))
        self.inbox = reader
        self.shard.addInboxes(of: self)
        let opening = DeviceOpening(device: book.key, user: book.user, fromNow: false, at: self.node.clock.wall())
        let bound = NIOLoopBound((reader: reader, done: done), eventLoop: self.shard.loop)
        self.node.store.openDevice(opening) { result in
            self.shard.loop.execute {
                bound.value.done(self.openedInbox(bound.value.reader, result))
                self.touch()
                self.shard.endTurn()
            }
        }
    }

    func startWaitingInbox(_ book: SessionBook) {
        guard book.flights.count <= book.windowMessages else { return }
        book.inboxWaits = false
        self.startInbox(book) { _ in }
    }

    private func openedInbox(_ reader: InboxReader, _ result: Result<DeviceRecord, StoreError>) -> WireError? {
        guard self.inbox === reader, let client = self.client else { return nil }
        do {
            let record = try result.get()
            let gaps = try reader.session.opened(record, cursor: nil, ramenSeq: nil, end: record.end, at: self.node.clock.wall())
            self.tell(gaps, client)
            self.noteUpdate()
            self.pumpInbox()
            return nil
        } catch {
            self.book?.inbox = nil
            self.endInbox()
            return (error as? StoreError).map { Node.wireError($0) } ?? error as? WireError
        }
    }

    func endInbox() {
        self.book?.keepsRoomForInbox = false
        self.book?.inboxWaits = false
        guard let inbox = self.inbox else { return }
        if let update = self.takeUpdate(at: self.node.clock.wall()) { self.node.record([update]) }
        self.shard.removeInboxes(of: self)
        inbox.session.closed()
        self.inbox = nil
    }

    /// Who does not ack has what the socket has.
    func ackWhatSocketTook(_ inbox: InboxReader) {
        guard self.book != nil, inbox.session.ackMode == .none, inbox.session.isLive else { return }
        try? inbox.session.acked(inbox.session.cursor, end: self.node.store.end, at: self.node.clock.wall())
        self.noteUpdate()
    }

    // MARK: Storing

    /// The session as of now.
    func record(_ book: SessionBook) -> KeptSession {
        var kept = KeptSession(key: book.key, user: book.user, expirySeconds: book.expirySeconds)
        kept.will = book.will
        kept.inbox = book.inbox
        kept.subscriptions = book.subscriptions
        if let topics = self.topics {
            // With many, a look through all slots for each would take long.
            let slots =
                kept.subscriptions.count > 8
                ? Dictionary(topics.subscriptions.all.lazy.map { ($0.filter, $0.slot) }, uniquingKeysWith: { first, _ in first }) : nil
            for index in kept.subscriptions.indices where kept.subscriptions[index].isQueued {
                let actual = book.actual(kept.subscriptions[index])
                guard let slot = slots.map({ $0[actual] }) ?? topics.subscriptions.slot(of: actual) else { continue }
                kept.subscriptions[index].position = topics.subscriptions.durablePosition(slot)
                kept.subscriptions[index].from = topics.subscriptions.durableFrom(slot) ?? kept.subscriptions[index].position
            }
            for range in topics.subscriptions.durableEnded where QueueTopic.isQueue(range.filter.text) {
                kept.ended.append(.init(filter: QueueTopic.original(of: range.filter), from: range.from, position: range.position))
            }
        }
        let flights = book.flights.all.compactMap { flight -> Flights.Flight? in
            guard flight.isApart || flight.log != .durable, flight.step != .released, book.retainedNumbers[flight.number] == nil else {
                return flight
            }
            guard flight.step == .sentOnce else { return nil }
            // It is sent to nobody again; the client forgets its number.
            var released = flight
            released.step = .released
            return released
        }
        kept.retainedNumbers = book.retainedNumbers
        kept.memoryEpoch = book.isCatchingUp ? book.memoryEpoch : self.node.hub.memoryEpoch
        kept.flights = Flights(all: flights, lastNumber: book.flights.last)
        kept.retainedAgain = self.retainedAgain(book)
        kept.received = book.received.sorted()
        return kept
    }

    /// Lets the others know where the session is.
    func tellKept(_ book: SessionBook, isAsked: Bool) {
        self.node.kept.update(self.record(book), holder: book.holder, isAsked: isAsked)
    }

    /// The state has changed: it is stored before long.
    func noteState(_ book: SessionBook) {
        guard book.isKept, !book.isDirty else { return }
        book.isDirty = true
        self.shard.dirtied(book, of: self)
    }

    /// Does something once the state as of now is stored.
    func whenSaved(_ book: SessionBook, _ body: @escaping () -> Void) { self.hold(.call(body), book) }

    func hold(_ held: SessionBook.Held, _ book: SessionBook) {
        book.held.append(held)
        guard !book.isSaving else { return }
        book.isSaving = true
        // With what else comes in this turn.
        self.shard.loop.execute { self.saveHeld() }
    }

    private func saveHeld() {
        guard let book = self.book, self.client != nil else { return }
        let count = book.held.count
        // Another connection has the session, and this one will hear of it: what it holds goes out there.
        guard let save = self.takeSave(book) else { return }
        let revision = book.settingsRevision
        self.node.store.save([save]) { error in
            self.shard.loop.execute { self.savedHeld(count, revision, error) }
        }
    }

    private func savedHeld(_ count: Int, _ revision: Int, _ error: StoreError?) {
        guard let book = self.book, let client = self.client else { return }
        guard error == nil else { return self.close(.storeUnavailable, retryAfterMs: self.pause) }
        book.settingsStored(revision)
        let held = book.held.prefix(count)
        book.held.removeFirst(held.count)
        for one in held {
            switch one {
            // Nothing goes to one who was told to go.
            case .message(let delivery, let ticket): if self.isLive { client.send(delivery, ticket) }
            case .release(let number): if self.isLive { client.release(number) }
            case .call(let body): body()
            }
        }
        book.isSaving = false
        self.touch()
        if !book.held.isEmpty {
            book.isSaving = true
            self.saveHeld()
        }
        self.shard.endTurn()
    }

    /// What is to be stored now; nil if another connection has the session.
    func takeSave(_ book: SessionBook) -> SessionSave? {
        book.isDirty = false
        let record = self.record(book)
        return self.node.kept.update(record, holder: book.holder, isAsked: false) ? book.save(record) : nil
    }

    // MARK: Ending

    /// The connection is gone: the session is kept, or over.
    func end(_ book: SessionBook) {
        let done = book.whenEnded
        defer {
            book.held = []
            book.whenEnded = {}
        }
        let entered = book.entered
        book.entered = nil
        guard book.isBegun else { return self.node.leave(book, entered, done: done) }
        book.isBegun = false
        self.leaveGroups(book)
        book.constrained = [:]
        book.waitingGroups = []
        for subscription in book.subscriptions { self.ring(subscription.filter, subscription.options, -1) }
        guard book.expirySeconds > 0 else { return self.node.end(book, will: book.will, done: done) }
        var record = self.record(book)
        record.endedAt = self.node.clock.wall()
        for index in record.subscriptions.indices { record.subscriptions[index].staysQueued = false }
        let will = book.will.flatMap { $0.delaySeconds == 0 ? $0 : nil }
        if will != nil {
            record.will = nil
            book.settingsChanged()
        }
        let isOwn = self.node.kept.ended(record, holder: book.holder)
        self.node.store(book.key, isOwn ? book.save(record).change : nil, will: will, done: done)
    }
}
