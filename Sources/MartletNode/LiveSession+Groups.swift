import MartletCore
import NIOCore

/// A session as a member of groups that share a subscription.
extension LiveSession {
    func joinGroup(_ filter: TopicFilter, _ options: SubscribeOptions, _ book: SessionBook) {
        guard let share = options.share else { return }
        let key = ShareName.key(share, filter, self.app)
        // A message that a member leaves goes to another: so none is handed out to be delivered exactly once.
        var options = options
        options.qos = min(1, options.qos)
        let member = ShareGroup.Member(id: book.holder, session: self, options: options)
        // If there is none, it declines, and the group hears when there is.
        let room = max(1, book.windowMessages - book.flights.count)
        // What it reads counts in the window of the session's topics.
        if self.topics == nil { self.topics = TopicReader(self.node.limits) }
        self.setAckRoom(book)
        guard book.isKept, options.qos > 0, QueueTopic.hasQueue(filter) else {
            // What waits for a kept member that is away is everyone's who joins.
            let isKept = self.node.kept[key] != nil
            return self.node.groups.join(key, filter, member, room: room, isKept: isKept, shards: self.node.shards)
        }
        // No record of before is deleted after this one is stored.
        self.node.kept.inOrder {
            let (record, isNew) = self.node.kept.group(key, filter, position: self.node.store.end)
            if isNew { self.node.store(key, .set(settings: record.settings, state: record.state), will: nil) }
            self.node.groups.join(key, filter, member, room: room, isKept: true, shards: self.node.shards)
        }
    }

    func leaveGroup(_ filter: TopicFilter, _ options: SubscribeOptions, _ book: SessionBook) {
        guard let share = options.share else { return }
        let key = ShareName.key(share, filter, self.app)
        // Their numbers are the client's until it acks them.
        for (number, part) in book.shared where part.group.key == key { self.letGo(number, book) }
        book.declined = book.declined.filter { $0.value.group.key != key }
        self.node.groups.leave(key, book.holder)
    }

    func leaveGroups(_ book: SessionBook) {
        for subscription in book.subscriptions { self.leaveGroup(subscription.filter, subscription.options, book) }
    }

    /// A group hands it a message.
    ///
    /// - Returns: nil if the group hears of it when it is acked.
    func takeShared(_ hand: ShareDealer.Hand, of group: ShareGroup, _ options: SubscribeOptions) -> ShareOutcome? {
        // One that has left is handed nothing more, and the group knows.
        guard let book = self.book, let topics = self.topics, self.isLive, book.index(of: group.filter, share: options.share) != nil else {
            return .returned
        }
        let message = hand.message
        guard message.liveOnly || !message.isExpired(at: self.node.clock.now()) else { return .landed }
        let qos = min(options.qos, message.marks.qos)
        let weight = TopicMail.weight(message)
        let isStopped = book.declined[ObjectIdentifier(group)].map { $0.told == nil } ?? false
        guard !isStopped, topics.subscriptions.hasRoom(weight), qos == 0 || self.hasAckRoom(for: weight, book) else {
            if !isStopped { book.declined[ObjectIdentifier(group)] = SessionBook.Declined(group: group, isAcked: qos > 0, weight: weight) }
            return .returned
        }
        topics.subscriptions.started(weight)
        self.hand(
            TopicDelivery(message: message, isRetained: false, cursor: nil, isCursorShared: false, frames: SharedFrames()),
            .init(qos: qos, retainAsPublished: options.retainAsPublished, identifier: options.identifier), nil, book)
        guard qos > 0 else { return .landed }
        book.shared[book.flights.last] = SessionBook.Shared(group: group, hand: hand)
        book.sharedBytes += weight
        self.setAckRoom(book)
        return nil
    }

    private func hasAckRoom(for weight: Int, _ book: SessionBook) -> Bool {
        book.flights.count < book.windowMessages && !book.isCatchingUp
            && (book.sharedBytes == 0 || book.sharedBytes + weight <= self.node.limits.windowBytes)
    }

    /// The client has acked what a group handed out.
    func landedShared(_ number: UInt16, _ book: SessionBook) {
        guard let part = self.letGo(number, book) else { return }
        part.group.shard.loop.execute { part.group.landed(part.hand) }
    }

    @discardableResult
    private func letGo(_ number: UInt16, _ book: SessionBook) -> SessionBook.Shared? {
        guard let part = book.shared.removeValue(forKey: number) else { return nil }
        book.sharedBytes -= TopicMail.weight(part.hand.message)
        return part
    }

    /// A group hands it nothing more until it says that it has room; all that was handed before has come.
    func stopped(by group: ShareGroup) {
        guard let book = self.book else { return }
        book.declined[ObjectIdentifier(group)]?.isStopped = true
        self.tellGroupsOfRoom(book)
    }

    /// Groups whose messages it had no room for hear that it has some; again each time that it is twice as much, and when it is all.
    func tellGroupsOfRoom(_ book: SessionBook) {
        guard !book.declined.isEmpty, !book.isCatchingUp, let topics = self.topics else { return }
        let room = book.windowMessages - book.flights.count
        let member = book.holder
        let isAll = room == book.windowMessages
        for (id, declined) in book.declined where declined.isStopped && (isAll || room >= (declined.told ?? 0) * 2) {
            // Unless what it had no room for fits, it would only come to be declined again.
            guard topics.subscriptions.hasRoom(declined.weight), !declined.isAcked || self.hasAckRoom(for: declined.weight, book) else { continue }
            book.declined[id]?.told = room
            if isAll { book.declined[id] = nil }
            let group = declined.group
            group.shard.loop.execute { group.hasRoom(member, max(0, room)) }
        }
    }

    /// A group misses something.
    func missed(_ gap: TopicGap) {
        guard let client = self.client, self.isLive else { return }
        client.gap(gap, cursor: self.cursor)
        self.touch()
        self.shard.endTurn()
    }
}
