import MartletCore
import NIOCore
import Synchronization

/// The groups that have members here.
final class ShareGroups: Sendable {
    private struct Entry {
        var group: ShareGroup
        var members: Set<UInt64> = []
    }

    private let groups = Mutex<[DeviceKey: Entry]>([:])

    /// - Parameter shards: of which one is the group's home, by its name.
    func join(_ key: DeviceKey, _ filter: TopicFilter, _ member: ShareGroup.Member, isKept: Bool, shards: [Shard]) {
        self.groups.withLock { groups in
            var entry =
                groups[key]
                ?? Entry(group: ShareGroup(key: key, filter: filter, shard: shards[Int(shortHash(key.name)) % shards.count]))
            entry.members.insert(member.id)
            groups[key] = entry
            let group = entry.group
            // Within the lock, so that comings and goings of one name keep their order.
            group.shard.loop.execute { group.join(member, isKept: isKept) }
        }
    }

    /// - Parameter body: called on the group's loop, after what was asked of it before.
    func fence(_ key: DeviceKey, _ body: @escaping @Sendable () -> Void) {
        guard let group = self.groups.withLock({ $0[key]?.group }) else { return body() }
        group.shard.loop.execute(body)
    }

    func hasMembers(_ key: DeviceKey) -> Bool { self.groups.withLock { $0[key] != nil } }

    func leave(_ key: DeviceKey, _ member: UInt64) {
        self.groups.withLock { groups in
            guard var entry = groups[key], entry.members.remove(member) != nil else { return }
            groups[key] = entry.members.isEmpty ? nil : entry
            let group = entry.group
            group.shard.loop.execute { group.leave(member) }
        }
    }
}

/// A session as a member of groups.
extension LiveSession {
    func joinGroup(_ filter: TopicFilter, _ options: SubscribeOptions, _ book: SessionBook) {
        guard let share = options.share else { return }
        let key = ShareName.key(share, filter, self.app)
        // A message that a member leaves goes to another: so none is handed out to be delivered exactly once.
        var options = options
        options.qos = min(1, options.qos)
        var isKept = book.isKept && options.qos > 0 && QueueTopic.hasQueue(filter)
        if isKept {
            let (record, isNew) = self.node.kept.group(key, filter, position: self.node.store.end)
            if isNew {
                self.node.store(key, .set(settings: record.settings, state: record.state), will: nil)
            }
        } else {
            // What waits for a kept member that is away is everyone's who joins.
            isKept = self.node.kept[key] != nil
        }
        let member = ShareGroup.Member(id: book.holder, session: self, options: options, room: max(0, book.windowMessages - book.flights.count))
        self.node.groups.join(key, filter, member, isKept: isKept, shards: self.node.shards)
    }

    func leaveGroup(_ filter: TopicFilter, _ options: SubscribeOptions, _ book: SessionBook) {
        guard let share = options.share else { return }
        let key = ShareName.key(share, filter, self.app)
        for (number, part) in book.shared where part.group.key == key {
            book.shared[number] = nil
            _ = book.flights.land(number, in: .sent)
        }
        book.declined = book.declined.filter { $0.value.key != key }
        self.setAckRoom(book)
        self.node.groups.leave(key, book.holder)
    }

    func leaveGroups(_ book: SessionBook) {
        for subscription in book.subscriptions { self.leaveGroup(subscription.filter, subscription.options, book) }
    }

    /// A group hands it a message.
    ///
    /// - Parameter part: nil if it is not acked.
    func takeShared(_ message: StoredMessage, _ filter: TopicFilter, _ options: SubscribeOptions, _ part: ShareGroup.Part?) {
        // One that has left is told nothing more, and the group knows.
        guard let book = self.book, self.isLive, book.index(of: filter, share: options.share) != nil else {
            part?.returned()
            return
        }
        guard part == nil || book.flights.count < book.windowMessages && !book.isCatchingUp else {
            if let part { book.declined[ObjectIdentifier(part.group)] = part.group }
            part?.returned()
            return
        }
        self.hand(
            TopicDelivery(message: message, isRetained: false, cursor: nil, isCursorShared: false, frames: SharedFrames()),
            .init(
                qos: part == nil ? 0 : min(options.qos, message.marks.qos), retainAsPublished: options.retainAsPublished,
                identifier: options.identifier), nil, book)
        guard let part else { return }
        book.shared[book.flights.last] = part
        self.setAckRoom(book)
    }

    /// Groups whose messages it had no room for hear that it has some.
    func tellGroupsOfRoom(_ book: SessionBook) {
        let room = book.windowMessages - book.flights.count
        guard !book.declined.isEmpty, room > 0 else { return }
        let declined = book.declined.values
        book.declined = [:]
        let member = book.holder
        for group in declined { group.shard.loop.execute { group.hasRoom(member, room) } }
    }
}
