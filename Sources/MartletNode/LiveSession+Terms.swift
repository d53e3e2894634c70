import MartletCore
import MartletWire
import NIOCore

/// What clients of sessions with ``SessionTerms`` ask for.
extension LiveSession {
    // MARK: Subscriptions

    func subscribe(_ wishes: [SubscribeWish], done: @escaping (WireError?) -> Void) throws(WireError) {
        guard let book = self.book, self.client != nil, self.isLive else { return }
        try self.node.check(wishes, rights: self.rights, app: self.app)
        let known = wishes.count { book.index(of: $0.filter, share: $0.options.share) != nil }
        guard book.subscriptions.count + wishes.count - known <= self.node.limits.topicsPerSession else {
            throw WireError(
                .tooManyTopics, "A session may have \(self.node.limits.topicsPerSession) subscriptions.", limit: self.node.limits.topicsPerSession)
        }
        var fresh: [FreshTopics] = []
        for wish in wishes {
            let isNew = self.note(wish, book)
            if book.isKept, isNew, let subscription = book.subscriptions.last {
                self.node.kept.add(subscription, of: book.key, holder: book.holder)
            } else if book.isKept {
                self.tellKept(book, isAsked: true)
            }
            if wish.options.share != nil {
                self.joinGroup(wish.filter, wish.options, book)
                continue
            }
            let began = self.start(wish, book)
            guard wish.options.retainHandling == .always || wish.options.retainHandling == .ifNew && isNew else { continue }
            fresh += began
        }
        let groups = wishes.compactMap { wish in wish.options.share.map { ShareName.key($0, wish.filter, self.app) } }
        self.whenJoined(groups) {
            if book.isKept {
                book.settingsChanged()
                self.whenSaved(book) { done(nil) }
            } else {
                done(nil)
                self.touch()
            }
        }
        self.sendRetained(fresh)
        self.pumpTopics()
        self.shard.endTurn()
    }

    /// Does something once groups hand out to the session what is published.
    private func whenJoined(_ groups: [DeviceKey], _ body: @escaping () -> Void) {
        guard let group = groups.last else { return body() }
        let loop = self.shard.loop
        let bound = NIOLoopBound(body, eventLoop: loop)
        self.node.groups.fence(group) {
            loop.execute {
                guard self.client != nil else { return }
                self.whenJoined(Array(groups.dropLast()), bound.value)
                self.shard.endTurn()
            }
        }
    }

    /// Enters what a client asks for.
    ///
    /// - Returns: whether it is new.
    private func note(_ wish: SubscribeWish, _ book: SessionBook) -> Bool {
        guard let index = book.index(of: wish.filter, share: wish.options.share) else {
            book.subscriptions.append(.init(filter: wish.filter, options: wish.options))
            return true
        }
        let before = book.actual(book.subscriptions[index])
        // No message is lost by a change, whether it waits to be read or is on its way here (MQTT-3.8.4-4).
        book.subscriptions[index].staysQueued = wish.options.qos == 0 && QueueTopic.isQueue(before.text)
        self.ring(wish.filter, book.subscriptions[index].options, -1)
        book.subscriptions[index].options = wish.options
        // Messages wait for it from now on, or no more.
        if wish.options.share == nil, before != book.actual(book.subscriptions[index]) { self.drop(before) }
        return false
    }

    /// Begins a subscription, or changes it.
    ///
    /// - Returns: what its retained values are asked by.
    private func start(_ wish: SubscribeWish, _ book: SessionBook) -> [FreshTopics] {
        self.ring(wish.filter, wish.options, 1)
        var actual = wish
        if let index = book.index(of: wish.filter, share: nil) { actual.filter = book.actual(book.subscriptions[index]) }
        if let slot = self.topics?.subscriptions.slot(of: actual.filter) {
            self.topics?.subscriptions.change(slot, to: wish.options)
        } else {
            _ = self.startTopics([actual], cursor: nil)
            self.setAckRoom(book)
            self.moveRetained(wish.filter, to: actual.filter)
        }
        // What goes through the store may come to the memory log later than to a queue, before which this subscription does not read. To be
        // looked at before the end of the memory log.
        let lateUpTo = QueueTopic.isQueue(actual.filter.text) && !self.node.inStore.isEmpty ? self.node.clock.wall() : 0
        let ends = TopicSubscriptions.Ends(
            memoryEpoch: self.node.hub.memoryEpoch, memory: self.node.hub.end, durable: self.node.store.end, lateUpTo: lateUpTo)
        return [FreshTopics(filter: wish.filter, ends: ends, slotFilter: actual.filter)]
    }

    func unsubscribe(_ all: [(filter: TopicFilter, share: String?)], done: @escaping ([Bool]) -> Void) {
        guard let book = self.book, self.client != nil else { return }
        var found: [Bool] = []
        for (filter, share) in all {
            guard let index = book.index(of: filter, share: share) else {
                found.append(false)
                continue
            }
            found.append(true)
            let old = book.subscriptions.remove(at: index)
            self.ring(filter, old.options, -1)
            if share != nil { self.leaveGroup(filter, old.options, book) } else { self.drop(book.actual(old)) }
            if share == nil { self.dropRetained(filter) }
        }
        if book.isKept, found.contains(true) {
            self.tellKept(book, isAsked: true)
            book.settingsChanged()
            let result = found
            self.whenSaved(book) { done(result) }
        } else {
            done(found)
            self.touch()
        }
        self.shard.endTurn()
    }

    /// Has what a subscription may miss held in memory, or no more.
    func ring(_ filter: TopicFilter, _ options: SubscribeOptions, _ change: Int) {
        guard self.book?.isRinged(filter, options) == true else { return }
        self.node.hub.expectAcks(filter, app: self.app, change)
    }

    /// Ends a subscription of the reader's.
    func drop(_ filter: TopicFilter) {
        guard let topics = self.topics, let slot = topics.subscriptions.slot(of: filter) else { return }
        self.shard.unsubscribe(self, slot, filter)
        self.node.left(self, filter)
        topics.subscriptions.unsubscribe(slot)
        self.node.metrics.subscriptions(-1)
    }

    /// Ends subscriptions that the rights do not hold any more.
    func endForbidden(_ book: SessionBook) {
        let forbidden = book.subscriptions.filter {
            !self.rights.allows(.subscribe, $0.filter, self.node.access(to: $0.filter, in: self.app))
        }
        guard !forbidden.isEmpty else { return }
        self.unsubscribe(forbidden.map { ($0.filter, $0.options.share) }, done: { _ in })
    }

    // MARK: Publishing exactly once

    func ready(_ request: AppendRequest, number: UInt16?) throws(WireError) -> AppendRequest? {
        guard let book = self.book else { return request }
        try self.checkPublish(request)
        var request = request
        request.marks.origin = book.origin
        guard let number else { return request }
        guard book.received.insert(number).inserted else { return nil }
        if book.isKept {
            let record = self.record(book)
            self.node.kept.update(record, holder: book.holder, isAsked: false)
            request.save = book.save(record)
        }
        return request
    }

    /// Lets a number come again to whatever connection the client has by then.
    private func forgetting(_ number: UInt16) -> @Sendable () -> Void {
        guard let key = self.book?.key else { return {} }
        return { [node] in node.kept.forget(number: number, of: key) }
    }

    func publishReady(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        // After its end the record is not this session's to write: they come again with the next connection.
        guard self.client != nil || !requests.contains(where: { $0.save != nil }) else {
            return done(requests.map { _ in .failed(StoreError(.stopped)) })
        }
        self.node.publish(requests, done: done)
    }

    func forget(number: UInt16) {
        self.book?.received.remove(number)
        self.forgetting(number)()
    }

    func release(number: UInt16, done: @escaping @Sendable (Bool?) -> Void) {
        guard let book = self.book, book.received.remove(number) != nil else { return done(false) }
        guard book.isKept else { return done(true) }
        self.whenSaved(book) { done(true) }
    }

    // MARK: The inbox

    func openInbox(windowMessages: Int, acks: Bool, done: @escaping (WireError?) -> Void) {
        guard let book = self.book, self.isLive else { return }
        book.inbox = KeptSession.Inbox(windowMessages: windowMessages, acks: acks)
        if book.isKept {
            self.tellKept(book, isAsked: true)
            book.settingsChanged()
            self.noteState(book)
        }
        self.startInbox(book) { error in
            guard error == nil, book.isKept else { return done(error) }
            self.whenSaved(book) { done(nil) }
        }
    }

    func closeInbox() -> Bool {
        guard let book = self.book, book.inbox != nil else { return false }
        book.inbox = nil
        if book.isKept {
            self.tellKept(book, isAsked: true)
            book.settingsChanged()
            self.noteState(book)
        }
        self.endInbox()
        return true
    }

    // MARK: Leaving

    func leaves(withWill: Bool, expirySeconds: Int?, done: @escaping () -> Void) {
        guard let book = self.book, self.client != nil else { return done() }
        if !withWill { book.will = nil }
        book.settingsChanged()
        if let expirySeconds { book.expirySeconds = expirySeconds }
        let loop = self.shard.loop
        let bound = NIOLoopBound(done, eventLoop: loop)
        book.whenEnded = { if loop.inEventLoop { bound.value() } else { loop.execute { bound.value() } } }
        self.clientClosed()
    }
}
