import MartletCore
import MartletWire
import NIOCore

/// The retained values of subscriptions that begin: sent while there is room, the rest when the socket has taken what was sent.
extension LiveSession {
    struct FreshTopics {
        var filter: TopicFilter
        /// What is newer than the subscription comes as a message.
        var ends: TopicSubscriptions.Ends
        /// The subscription, where that goes by a name of its own.
        var slotFilter: TopicFilter?
    }

    /// Values of one read of the store, at most.
    private static let readValues = 256
    /// Of an answer that is sent as a whole: windows that its values may fill.
    private static let answerWindows = 4

    /// Whether what it is sent goes into one answer, which ends it.
    private var isAnswer: Bool {
        switch self.transport {
        case .poll, .jsonp, .exchange: true
        case .sse, .ramen, .websocket, .stream, .mqtt, .grpc: false
        }
    }

    /// Whether its answer is not whole without values that are still to be found.
    var awaitsRetained: Bool { self.isAnswer && self.topics?.retained.isEmpty == false }

    /// Sends the values of subscriptions that begin together: those that several match, once.
    func sendRetained(_ fresh: [FreshTopics]) {
        guard let topics = self.topics, !fresh.isEmpty else { return }
        topics.retained.begin()
        for one in fresh {
            self.oweRetained(
                one.filter, for: one.filter, reader: one.slotFilter ?? one.filter, self.node.retainedLogs(of: one.filter, in: self.app), one.ends)
        }
        self.pumpRetained()
    }

    /// Enters values that a subscription is to be sent; call ``pumpRetained()`` then.
    ///
    /// - Returns: whether there are any, perhaps.
    @discardableResult
    func oweRetained(
        _ values: TopicFilter, for filter: TopicFilter, reader: TopicFilter, _ logs: [TopicLogKind], _ ends: TopicSubscriptions.Ends,
        after: String? = nil, isResumed: Bool = false
    ) -> Bool {
        guard let topics = self.topics, let slot = topics.subscriptions.slot(of: reader) else { return false }
        let isOwed = topics.retained.add(values, for: filter, reader: reader, logs: logs, ends: ends, after: after, isResumed: isResumed)
        if isOwed { topics.subscriptions.hold(slot, true) }
        return isOwed
    }

    /// A subscription ended: no more of its values.
    func dropRetained(_ filter: TopicFilter) {
        guard let topics = self.topics, !topics.retained.isEmpty else { return }
        topics.retained.remove(filter)
        self.letGo(topics)
    }

    /// A subscription goes on by another name.
    func moveRetained(_ filter: TopicFilter, to reader: TopicFilter) {
        guard let topics = self.topics, !topics.retained.isEmpty else { return }
        topics.retained.move(filter, to: reader)
        if topics.retained.holds(reader), let slot = topics.subscriptions.slot(of: reader) { topics.subscriptions.hold(slot, true) }
    }

    /// Asks again for what the store could not read.
    func retryRetained() {
        guard let topics = self.topics, topics.retained.hasFailed else { return }
        topics.retained.hasFailed = false
        self.pumpRetained()
    }

    /// Goes on with values if there is room.
    func pumpRetained() {
        guard let topics = self.topics, !topics.retained.isEmpty, self.isLive, self.book?.isCatchingUp != true else { return }
        var looks = RetainedFeeds.turnLooks
        while let feed = topics.retained.next {
            let room = self.retainedRoom(topics)
            guard room > 0 else {
                if self.isAnswer { self.cutRetained(topics) }
                break
            }
            switch feed.log {
            case .memory:
                guard self.sendFromMemory(feed, room, topics, &looks) else { return self.letGo(topics) }
            case .durable:
                let values = min(Self.readValues, self.acksRetained(feed) ? topics.subscriptions.ackRoom : .max)
                // The first value comes however large it is, so when nothing is under way. Without room to ack it, with the next ack.
                guard values > 0, self.isAnswer || topics.subscriptions.retainedRoom == nil else { return self.letGo(topics) }
                topics.retained.isReading = true
                let request = RetainedRequest(
                    app: self.app, filter: feed.values, after: feed.after, values: values, bytes: room, now: self.node.clock.now())
                self.shard.topics.readBegan()
                self.node.store.retained(request) { result in
                    self.shard.loop.execute { self.readRetained(feed.id, result, recalled: self.shard.topics.readEnded()) }
                }
            }
        }
        self.letGo(topics)
    }

    /// Whether the client may have to ack values.
    private func acksRetained(_ feed: RetainedFeeds.Feed) -> Bool {
        self.book?.subscriptions.contains { $0.filter == feed.filter && $0.options.share == nil && $0.options.qos > 0 } == true
    }

    /// Bytes of values that may be started now; one may be larger when nothing is under way.
    private func retainedRoom(_ topics: TopicReader) -> Int {
        if self.isAnswer { return self.node.limits.windowBytes * Self.answerWindows - topics.answerBytes }
        return topics.subscriptions.retainedRoom ?? self.node.limits.windowBytes / 2
    }

    /// Sends the next values that are in memory.
    ///
    /// - Returns: whether to go on now.
    private func sendFromMemory(_ feed: RetainedFeeds.Feed, _ room: Int, _ topics: TopicReader, _ looks: inout Int) -> Bool {
        if feed.names.isEmpty {
            guard looks > 0 else {
                self.pumpTopicsLater(rests: true)
                return false
            }
            let page = self.node.hub.retainedNames(
                feed.values, app: self.app, after: feed.after, limit: RetainedFeeds.pageNames, looks: looks)
            // Finding none takes its time, too.
            looks -= page.looks + 8
            topics.retained.turn(page)
            return true
        }
        let now = self.node.clock.now()
        for (name, value) in zip(feed.names, self.node.hub.retained(feed.names, app: self.app, bytes: room, now: now)) {
            if let value, topics.retained.isDue(value, of: name, now: now) {
                let bytes = TopicMail.weight(value)
                guard self.isAnswer || topics.subscriptions.retainedRoom.map({ bytes <= $0 }) ?? true else { return false }
                guard self.send(value, of: name, for: feed, topics) else { return false }
            }
            topics.retained.pass(name)
        }
        return true
    }

    private func readRetained(_ id: UInt32, _ result: Result<RetainedSlice, StoreError>, recalled: Set<UInt64>) {
        guard let topics = self.topics, let feed = topics.retained.all.first, feed.id == id else { return }
        topics.retained.isReading = false
        guard case .success(let slice) = result else {
            // An answer cannot wait.
            guard !self.isAnswer else { return self.close(.storeUnavailable, retryAfterMs: self.pause) }
            topics.retained.hasFailed = true
            return
        }
        let now = self.node.clock.now()
        // What was read is sent even if messages have taken the room meanwhile, or they might take it for ever; what has to be acked, with
        // the next ack.
        let sent = slice.entries.prefix { entry in
            guard topics.retained.isDue(entry.message, of: entry.topic, now: now), !recalled.contains(entry.message.offset) else { return true }
            return self.send(entry.message, of: entry.topic, for: feed, topics)
        }
        for entry in sent { topics.retained.pass(entry.topic) }
        if sent.count == slice.entries.count {
            if let reached = slice.reached { topics.retained.skip(to: reached) } else { topics.retained.endLog() }
        }
        self.letGo(topics)
        self.pumpTopics()
        self.settleIfDone()
        self.shard.endTurn()
    }

    /// - Returns: false if there is no room for what the client has to ack.
    private func send(_ value: StoredMessage, of topic: String, for feed: RetainedFeeds.Feed, _ topics: TopicReader) -> Bool {
        guard let client = self.client else { return false }
        let delivery = TopicDelivery(message: value, isRetained: true, cursor: nil, isCursorShared: false, frames: SharedFrames())
        let bytes = TopicMail.weight(value)
        if let book = self.book {
            guard let options = book.subscriptions.first(where: { $0.filter == feed.filter && $0.options.share == nil })?.options else { return true }
            let qos = min(options.qos, value.marks.qos)
            guard qos == 0 || topics.subscriptions.ackRoom > 0 else { return false }
            topics.subscriptions.started(bytes)
            self.hand(delivery, .init(qos: qos, retainAsPublished: false, identifier: options.identifier), feed.log, book, isApart: true)
            guard qos > 0 else { return true }
            book.retainedNumbers[book.flights.last] = .init(topic: topic, filter: feed.filter.text)
            self.setAckRoom(book)
            return true
        }
        if self.isAnswer { topics.answerBytes += bytes } else { topics.subscriptions.started(bytes) }
        client.send(delivery)
        self.shard.tally.sentTopic(on: self.transport)
        self.touch()
        return true
    }

    /// The answer is full: it says of which filters values are missing.
    private func cutRetained(_ topics: TopicReader) {
        guard let client = self.client else { return }
        let gaps = topics.retained.all.map { TopicGap(topic: $0.filter.text, reason: .slow) }
        topics.retained.removeAll()
        let cursor = self.cursor
        self.tell(gaps, client, before: cursor, after: cursor)
    }

    /// What waited for values that have gone out is read.
    private func letGo(_ topics: TopicReader) {
        let unheld = topics.retained.takeUnheld(of: topics.subscriptions.held)
        for slot in unheld { topics.subscriptions.hold(slot, false) }
        if self.isAnswer, topics.retained.isEmpty { self.touch() }
        if !unheld.isEmpty, topics.subscriptions.isBehind { self.pumpTopicsLater() }
    }

    // MARK: Messages that come meanwhile

    /// Has the value of a topic go out before a message of the topic.
    ///
    /// - Returns: whether the message must wait.
    func waitsForRetained(_ message: StoredMessage, _ topic: String, _ log: TopicLogKind?, _ bytes: Int, _ topics: TopicReader) -> Bool {
        let isQueued = QueueTopic.isQueue(topic)
        let name = isQueued ? QueueTopic.original(of: topic) : topic
        let key = TopicKey(app: self.app, name: name)
        let options = self.node.options(of: key)
        let home: TopicLogKind = options.storage == .durable ? .durable : .memory
        let owing = topics.retained.owing(name, in: home)
        guard !owing.isEmpty else { return false }
        // The store is not asked for each. What is kept nowhere would be lost, so it goes.
        guard home == .memory else { return isQueued || log != nil && options.keepsHistory }
        guard let value = self.node.hub.retained(key, now: self.node.clock.now()) else { return false }
        let room = TopicMail.weight(value)
        for feed in owing where feed.brings(value, of: .memory) {
            guard self.book?.isCatchingUp != true, topics.subscriptions.hasRoom(room + bytes), topics.retained.maySendEarly(feed.id),
                self.send(value, of: name, for: feed, topics)
            else { return true }
            topics.retained.sentEarly(name, feed.id)
        }
        return false
    }
}
