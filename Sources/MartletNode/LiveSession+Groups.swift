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
        book.waitingGroups.removeAll { book.constrained[$0]?.group.key == key }
        book.constrained = book.constrained.filter { $0.value.group.key != key }
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
        guard message.liveOnly || !message.isExpired(at: self.node.clock.now()) else {
            // What it has room for is another's, at the end of the turn.
            self.touch()
            return .landed
        }
        let qos = min(options.qos, message.marks.qos)
        let weight = TopicMail.weight(message)
        guard !self.isWaiting(group, book) else {
            // More of it may be on its way.
            book.constrained[ObjectIdentifier(group)]?.isStopped = false
            return .returned
        }
        guard topics.subscriptions.hasRoom(weight), qos == 0 || self.hasAckRoom(for: weight, book) else {
            self.wait(.init(group: group, isAcked: qos > 0, weight: weight), book)
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
        // While others wait, the room that it leaves is theirs first, and its group waits for its next turn.
        let givesRoom = book.waitingGroups.isEmpty
        if !givesRoom, !self.isWaiting(part.group, book) {
            self.wait(.init(group: part.group, isAcked: true, weight: TopicMail.weight(part.hand.message), isStopped: true), book)
        }
        part.group.shard.loop.execute { part.group.landed(part.hand, givesRoom: givesRoom) }
    }

    private func isWaiting(_ group: ShareGroup, _ book: SessionBook) -> Bool {
        book.constrained[ObjectIdentifier(group)].map { $0.told == nil } ?? false
    }

    private func wait(_ constrained: SessionBook.Constrained, _ book: SessionBook) {
        book.constrained[ObjectIdentifier(constrained.group)] = constrained
        book.waitingGroups.append(ObjectIdentifier(constrained.group))
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
        book.constrained[ObjectIdentifier(group)]?.isStopped = true
        self.tellGroupsOfRoom(book)
    }

    /// A group that was told of room has nothing for it: it is the next one's turn.
    func passed() {
        guard let book = self.book else { return }
        self.tellGroupsOfRoom(book)
    }

    /// Groups that wait for room hear that there is some, by turns; when none waits, those that have less than there is: each time that it
    /// is twice as much, and when it is all.
    func tellGroupsOfRoom(_ book: SessionBook) {
        guard !book.constrained.isEmpty, !book.isCatchingUp else { return }
        let room = book.windowMessages - book.flights.count
        guard book.waitingGroups.isEmpty else { return self.tellWaitingGroups(of: room, book) }
        let isAll = room == book.windowMessages
        let share = room / book.constrained.count
        for (id, constrained) in book.constrained where isAll || share >= max(1, (constrained.told ?? 0) * 2) {
            book.constrained[id]?.told = share
            if isAll { book.constrained[id] = nil }
            self.tell(constrained.group, room: isAll ? room : share, book)
        }
    }

    private func tellWaitingGroups(of room: Int, _ book: SessionBook) {
        guard let topics = self.topics else { return }
        let share = max(1, room / book.waitingGroups.count)
        var left = room
        var told: Set<ObjectIdentifier> = []
        for id in book.waitingGroups {
            guard let waiting = book.constrained[id], waiting.isStopped else { continue }
            // Unless what it had no room for fits, it would only come to be declined again.
            guard topics.subscriptions.hasRoom(waiting.weight), !waiting.isAcked || left > 0 && self.hasAckRoom(for: waiting.weight, book) else {
                break
            }
            let own = min(share, max(0, left))
            left -= own
            told.insert(id)
            book.constrained[id]?.told = own
            self.tell(waiting.group, room: own, book)
        }
        book.waitingGroups.removeAll(where: told.contains)
    }

    private func tell(_ group: ShareGroup, room: Int, _ book: SessionBook) {
        let member = book.holder
        group.shard.loop.execute { group.hasRoom(member, room) }
    }

    /// A group misses something.
    func missed(_ gap: TopicGap) {
        guard let client = self.client, self.isLive else { return }
        client.gap(gap, cursor: self.cursor)
        self.touch()
        self.shard.endTurn()
    }
}
