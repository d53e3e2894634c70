import MartletCore
import MartletWire
import NIOCore

/// What a session has for its topics.
final class TopicReader {
    // Unchecked: only the session's loop uses it, and no call runs within a change of it.
    @exclusivity(unchecked) var subscriptions: TopicSubscriptions
    /// A read goes on in a turn of its own.
    var isPumpScheduled = false
    @exclusivity(unchecked) var retained = RetainedFeeds()
    /// Bytes of retained values in an answer that goes as a whole.
    var answerBytes = 0

    init(_ limits: Limits) { self.subscriptions = TopicSubscriptions(windowBytes: limits.windowBytes) }
}

/// Subscribing, and delivering from topics.
extension LiveSession {
    /// What begins with subscriptions.
    struct StartedTopics {
        var notices: [SubscribedNotice] = []
        var gaps: [TopicGap] = []
        /// Those that begin now: they get the retained values, as far as those are not newer.
        var fresh: [FreshTopics] = []
    }

    /// Adds subscriptions that were found to be allowed.
    func startTopics(_ wishes: [SubscribeWish], cursor: Cursor?) -> StartedTopics {
        var started = StartedTopics()
        guard !wishes.isEmpty else { return started }
        let topics = self.topics ?? TopicReader(self.node.limits)
        self.topics = topics
        let resume = cursor.flatMap { cursor in
            cursor.topics.map {
                TopicSubscriptions.Resume(
                    place: $0,
                    isDurableKnown: cursor.epoch == self.node.store.epoch
                        && cursor.appHash == Cursor.hash(String(self.app.rawValue)))
            }
        }
        for wish in wishes where topics.subscriptions.slot(of: wish.filter) == nil {
            // From here on what is published comes to this loop, and waits for the end of this turn.
            let memoryEnd = self.shard.announce(wish.filter, app: self.app)
            let ends = TopicSubscriptions.Ends(
                memoryEpoch: self.node.hub.memoryEpoch, memory: memoryEnd, durable: self.node.store.end)
            let (slot, gaps) = topics.subscriptions.subscribe(
                wish, logs: self.node.logs(of: wish, in: self.app), ends: ends, resume: resume)
            self.shard.subscribe(self, slot, wish.filter)
            started.gaps += gaps
            started.notices.append(SubscribedNotice(filter: wish.filter, count: self.node.joined(self, wish.filter)))
            if resume == nil, wish.start == .latest { started.fresh.append(FreshTopics(filter: wish.filter, ends: ends)) }
        }
        self.node.metrics.subscriptions(started.notices.count)
        return started
    }

    /// - Parameters:
    ///   - before: the place while some of them are still to be told.
    ///   - after: the place after all of them.
    func tell(_ gaps: [TopicGap], _ client: any LiveClient, before: Cursor, after: Cursor) {
        for (index, var gap) in gaps.enumerated() {
            if self.book != nil { gap.topic = QueueTopic.original(of: gap.topic) }
            client.gap(gap, cursor: index == gaps.count - 1 ? after : before)
            self.node.metrics.gap(gap.reason.rawValue)
        }
    }

    // MARK: The client asks

    func subscribe(_ wishes: [SubscribeWish]) throws(WireError) {
        guard let client = self.client, self.isLive else { return }
        try self.node.check(wishes, rights: self.rights, app: self.app, beside: self.topics?.subscriptions)
        let started = self.startTopics(wishes, cursor: nil)
        client.subscribed(started.notices, cursor: self.cursor)
        self.sendRetained(started.fresh)
        self.touch()
        self.pumpTopics()
        self.shard.endTurn()
    }

    func unsubscribe(_ filters: [TopicFilter]) {
        for filter in filters {
            if self.topics?.subscriptions.slot(of: filter) == nil {
                self.client?.unsubscribed(filter, .notSubscribed)
                self.touch()
            }
            self.endSubscription(filter, .requested)
        }
        self.shard.endTurn()
    }

    /// What an exchange of its device asks of topics.
    func change(_ hello: Hello) throws(WireError) {
        guard !hello.topics.isEmpty || !hello.unsubscribe.isEmpty else { return }
        guard self.isOf(hello.user) else {
            throw WireError(.forbidden, "This device is connected as another user: only that one can change its topics now.")
        }
        guard self.inbox?.session.isRamen != true else {
            throw WireError(.badRequest, "The live session of this device speaks RAMEN, which takes no topics.")
        }
        self.unsubscribe(hello.unsubscribe)
        if !hello.topics.isEmpty { try self.subscribe(hello.topics) }
    }

    func publish(_ request: AppendRequest, done: @escaping @Sendable (AppendOutcome) -> Void) throws(WireError) {
        try self.checkPublish(request)
        self.node.publish([request]) { done($0.first ?? .failed(StoreError(.stopped))) }
    }

    /// - Throws: `forbidden` if the client's rights do not allow it.
    func checkPublish(_ request: AppendRequest) throws(WireError) {
        guard let name = request.topic?.name else { throw WireError(.badRequest, "Clients publish to topics only.") }
        let options = self.node.options(of: TopicKey(app: self.app, name: name))
        guard self.rights.allows(.publish, TopicFilter(topic: name), options) else {
            throw WireError(.forbidden, "This client may not publish to the topic \(NameHint.quoted(name)).")
        }
    }

    /// Ends subscriptions, and the telling of who is there, that the rights do not hold any more.
    func endForbidden() {
        if let book = self.book { return self.endForbidden(book) }
        guard let topics = self.topics else { return }
        for (slot, filter) in topics.subscriptions.all {
            let options = self.node.access(to: filter, in: self.app)
            if !self.rights.allows(.subscribe, filter, options) {
                self.endSubscription(filter, .forbidden)
            } else if topics.subscriptions.wantsPresence(slot), !self.rights.allows(.presence, filter, options) {
                topics.subscriptions.stopPresence(slot)
            }
        }
        self.shard.endTurn()
    }

    private func endSubscription(_ filter: TopicFilter, _ reason: UnsubscribeReason) {
        guard let topics = self.topics, let slot = topics.subscriptions.slot(of: filter) else { return }
        self.shard.unsubscribe(self, slot, filter)
        self.node.left(self, filter)
        self.dropRetained(filter)
        topics.subscriptions.unsubscribe(slot)
        self.node.metrics.subscriptions(-1)
        self.client?.unsubscribed(filter, reason)
        self.touch()
    }

    /// The session is over.
    func endTopics() {
        guard let topics = self.topics else { return }
        let all = topics.subscriptions.all
        for (slot, filter) in all {
            self.shard.unsubscribe(self, slot, filter)
            self.node.left(self, filter)
        }
        self.node.metrics.subscriptions(-all.count)
        self.topics = nil
    }

    // MARK: Delivering

    /// The part of a cursor that is about topics; nil without any.
    func topicPlace(sending: (read: TopicSubscriptions.TopicRead, offset: UInt64)? = nil) -> TopicPlace? {
        self.topics?.subscriptions.place(memoryEpoch: self.node.hub.memoryEpoch, sending: sending)
    }

    /// The place within a read, after this offset.
    private func cursor(sending read: TopicSubscriptions.TopicRead, _ offset: UInt64) -> Cursor {
        var cursor = self.cursor
        cursor.topics = self.topicPlace(sending: (read, offset))
        return cursor
    }

    /// A message was published to a topic that it subscribes to.
    ///
    /// - Parameter shared: the delivery as all get it whose cursor is nobody's own.
    @inline(__always)
    func announced(_ slot: Int, _ shared: borrowing TopicDelivery, topic: String, log: TopicLogKind?, weight: Int) {
        guard let topics = self.topics, let client = self.client, self.isLive else { return }
        if let book = self.book { return self.announced(slot, shared, topic: topic, log: log, weight: weight, topics, book) }
        let mustWait = !topics.retained.isEmpty && self.waitsForRetained(shared.message, topic, log, weight, topics)
        guard topics.subscriptions.announced(slot, offset: shared.message.offset, topic: topic, log: log, bytes: weight, mustWait: mustWait) else {
            return self.pumpAfterMiss(topics)
        }
        if log == nil || (self.inbox == nil && topics.subscriptions.hasPlainPlace) {
            client.send(shared)
        } else {
            client.send(
                TopicDelivery(
                    message: shared.message, isRetained: false, cursor: self.cursor, isCursorShared: false, frames: shared.frames))
        }
        self.shard.tally.sentTopic(on: self.transport)
        self.touch()
    }

    /// What was not sent is read when the socket has taken what it has; if it has nothing, that is now.
    func pumpAfterMiss(_ topics: TopicReader) {
        if topics.subscriptions.isBehind, !topics.subscriptions.isWaitingForSocket { self.pumpTopicsLater() }
    }

    func presence(_ event: PresenceEvent, _ slot: Int) {
        guard let topics = self.topics, topics.subscriptions.wantsPresence(slot), let client = self.client, self.isLive else { return }
        // Who does not read misses some; each says how many there are.
        guard topics.subscriptions.takesPresence(bytes: 128 + 64 * (event.joined.count + event.left.count)) else { return }
        client.presence(event)
        self.touch()
    }

    // MARK: Reading on

    /// In a turn of its own, so that one who reads much does not keep the loop.
    ///
    /// - Parameter rests: whether the sockets of the loop come first; whoever goes on and on must.
    func pumpTopicsLater(rests: Bool = false) {
        guard let topics = self.topics, !topics.isPumpScheduled else { return }
        topics.isPumpScheduled = true
        if rests { self.shard.topics.rest(self, on: self.shard.loop) } else { self.shard.loop.execute { self.readOn() } }
    }

    /// The turn has come.
    func readOn() {
        self.topics?.isPumpScheduled = false
        self.pumpTopics()
        self.settleIfDone()
        self.shard.endTurn()
    }

    /// Reads on in the logs of topics if there is something to read and room for it.
    func pumpTopics() {
        guard let topics = self.topics, let client = self.client, self.isLive, self.book?.isCatchingUp != true else { return }
        self.pumpRetained()
        while let next = topics.subscriptions.next(app: self.app, now: self.node.clock.now()) {
            switch next {
            case .gap(let gap):
                let cursor = self.cursor
                self.tell([gap], client, before: cursor, after: cursor)
                self.touch()
            case .read(let read):
                switch read.log {
                case .memory: self.readDone(read, self.node.hub.read(read.request), topics)
                case .durable:
                    self.shard.topics.readBegan()
                    self.node.store.readTopic(read.request) { result in
                        self.shard.loop.execute { self.readDone(read, result, recalled: self.shard.topics.readEnded()) }
                    }
                }
            }
        }
    }

    /// - Parameter recalled: offsets of what was taken back since the read began.
    private func readDone(
        _ read: TopicSubscriptions.TopicRead, _ result: Result<TopicSlice, StoreError>, recalled: Set<UInt64>
    ) {
        guard let topics = self.topics else { return }
        switch result {
        case .success(var slice):
            if !recalled.isEmpty { slice.entries.removeAll { recalled.contains($0.message.offset) } }
            self.readDone(read, slice, topics)
            self.pumpTopics()
            self.settleIfDone()
            self.shard.endTurn()
        case .failure:
            topics.subscriptions.readFailed()
            self.close(.storeUnavailable, retryAfterMs: self.pause)
        }
    }

    private func readDone(_ read: TopicSubscriptions.TopicRead, _ slice: TopicSlice, _ topics: TopicReader) {
        var slice = slice
        // The read may have taken its time.
        let now = self.node.clock.now()
        slice.entries.removeAll { $0.message.isExpired(at: now) }
        guard topics.subscriptions.readDone(read, &slice, origin: self.book?.origin, weight: { TopicMail.weight($0) }),
            let client = self.client
        else { return }
        let gaps = topics.subscriptions.untold(slice.gaps, of: read)
        if !gaps.isEmpty, case .after(let start) = read.request.start {
            let after = slice.entries.first.map { self.cursor(sending: read, $0.message.offset - 1) } ?? self.cursor
            self.tell(gaps, client, before: self.cursor(sending: read, start), after: after)
        }
        if let book = self.book { self.send(slice.entries, of: read, topics, book) }
        for entry in slice.entries where self.book == nil {
            client.send(
                TopicDelivery(
                    message: entry.message, isRetained: false, cursor: self.cursor(sending: read, entry.message.offset), isCursorShared: false,
                    frames: SharedFrames()))
            self.shard.tally.sentTopic(on: self.transport)
        }
        if !gaps.isEmpty || !slice.entries.isEmpty { self.touch() }
    }
}
