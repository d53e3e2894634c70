/// Who is there: the members of every topic that tells, and what has changed since it was last asked.
///
/// A value without I/O. Several sessions of one member count once. Somebody without user and device has no name to be listed by: each
/// of their sessions is counted as one, and no page or event names it.
package struct PresenceTable: Sendable {
    private struct Entry {
        var sessions: Int32
        /// The turn in which the member came.
        var turn: UInt32
    }

    private struct Room {
        var members: [PresenceMember: Entry] = [:]
        /// Sessions without a name, now and at the last turn.
        var nameless = 0
        var namelessBefore = 0
        /// Counts the events of the topic.
        var turn: UInt32 = 1
        /// How many came and went in this turn, and who: no more than are kept for names and for taking back.
        var cameCount = 0
        var leftCount = 0
        var came: Set<PresenceMember> = []
        var left: Set<PresenceMember> = []

        var count: Int { self.members.count + self.nameless }
        var isChanged: Bool { self.cameCount > 0 || self.leftCount > 0 || self.nameless != self.namelessBefore }
    }

    /// Names kept of those who came, and of those who left, in one turn of one topic. Of those beyond who left, one who comes back
    /// within the turn is told of twice: as having left and as having come.
    package static let pendingNames = 4_096

    private var rooms: [TopicKey: Room] = [:]
    private var changed: Set<TopicKey> = []

    package init() {}

    /// Whether there are changes that no event has told.
    package var isChanged: Bool { !self.changed.isEmpty }

    /// Topics that somebody is in.
    package var topics: Int { self.rooms.count }

    /// A session begins to subscribe.
    package mutating func join(_ topic: TopicKey, _ member: PresenceMember) {
        self.change(topic) { room in
            guard member.user != nil || member.device != nil else {
                room.nameless += 1
                return
            }
            if room.members[member] != nil {
                room.members[member]?.sessions += 1
                return
            }
            if room.left.remove(member) != nil {
                room.leftCount -= 1
                room.members[member] = Entry(sessions: 1, turn: room.turn &- 1)
                return
            }
            room.members[member] = Entry(sessions: 1, turn: room.turn)
            room.cameCount += 1
            if room.came.count < Self.pendingNames { room.came.insert(member) }
        }
    }

    /// A session that joined ends its subscription. One that did not changes nothing.
    package mutating func leave(_ topic: TopicKey, _ member: PresenceMember) {
        guard self.rooms[topic] != nil else { return }
        self.change(topic) { room in
            guard member.user != nil || member.device != nil else {
                room.nameless = max(0, room.nameless - 1)
                return
            }
            guard let entry = room.members[member] else { return }
            guard entry.sessions == 1 else {
                room.members[member]?.sessions -= 1
                return
            }
            room.members[member] = nil
            room.members.shrinkIfSparse()
            if entry.turn == room.turn {
                room.cameCount -= 1
                room.came.remove(member)
                return
            }
            room.leftCount += 1
            if room.left.count < Self.pendingNames { room.left.insert(member) }
        }
    }

    private mutating func change(_ topic: TopicKey, _ body: (inout Room) -> Void) {
        body(&self.rooms[topic, default: Room()])
        guard let room = self.rooms[topic] else { return }
        if room.isChanged {
            self.changed.insert(topic)
        } else {
            self.changed.remove(topic)
            if room.count == 0 { self.forget(topic) }
        }
    }

    private mutating func forget(_ topic: TopicKey) {
        self.rooms[topic] = nil
        self.rooms.shrinkIfSparse()
    }

    // MARK: Asking

    /// Members of a topic, and sessions without a name.
    package func count(of topic: TopicKey) -> Int { self.rooms[topic]?.count ?? 0 }

    /// Those who have a name, in the order of user, then device; those without one are only counted.
    ///
    /// - Parameters:
    ///   - limit: members on the page at most; 0 only counts.
    ///   - after: the last of the page before; nil for the first page.
    package func page(of topic: TopicKey, limit: Int, after: PresenceMember?) -> PresencePage {
        guard let room = self.rooms[topic] else { return PresencePage(members: [], count: 0, next: nil) }
        guard limit > 0 else { return PresencePage(members: [], count: room.count, next: nil) }
        // The first so many, without ordering all; one more tells whether there is another page.
        let kept = min(limit, room.members.count) + 1
        var first: [PresenceMember] = []
        var bound: PresenceMember?
        for member in room.members.keys {
            if let after, !(after < member) { continue }
            if let bound, !(member < bound) { continue }
            first.append(member)
            guard first.count == kept * 2 else { continue }
            first.sort()
            first.removeLast(kept)
            bound = first.last
        }
        first.sort()
        let members = Array(first.prefix(limit))
        return PresencePage(members: members, count: room.count, next: first.count > limit ? members.last : nil)
    }

    /// What has changed since the last call: one event for each topic. Who came and went in between is in neither list, and so is
    /// who went and came back.
    ///
    /// - Parameters:
    ///   - listed: names in each of an event's lists at most; the numbers are always of all.
    ///   - limit: events at most; what is left comes with the next calls.
    package mutating func takeEvents(listed: Int, limit: Int = .max) -> [(topic: TopicKey, event: PresenceEvent)] {
        guard !self.changed.isEmpty else { return [] }
        let topics = self.changed.count <= limit ? Array(self.changed) : Array(self.changed.prefix(limit))
        var events: [(topic: TopicKey, event: PresenceEvent)] = []
        events.reserveCapacity(topics.count)
        for topic in topics {
            self.changed.remove(topic)
            guard let room = self.rooms[topic] else { continue }
            let nameless = room.nameless - room.namelessBefore
            events.append(
                (
                    topic,
                    PresenceEvent(
                        topic: topic.name, joined: Self.names(room.came, listed), left: Self.names(room.left, listed),
                        joinedCount: room.cameCount + max(0, nameless), leftCount: room.leftCount + max(0, -nameless), count: room.count)
                ))
            if room.count == 0 {
                self.forget(topic)
                continue
            }
            self.rooms[topic]?.namelessBefore = room.nameless
            self.rooms[topic]?.cameCount = 0
            self.rooms[topic]?.leftCount = 0
            self.rooms[topic]?.came = []
            self.rooms[topic]?.left = []
            self.rooms[topic]?.turn &+= 1
        }
        // Gives its memory back after a storm.
        if self.changed.isEmpty { self.changed = [] }
        return events
    }

    private static func names(_ members: Set<PresenceMember>, _ limit: Int) -> [PresenceMember] {
        Array(members.sorted().prefix(max(0, limit)))
    }
}

extension PresenceMember: Comparable {
    /// By user, then device, byte by byte; without one comes first.
    package static func < (left: PresenceMember, right: PresenceMember) -> Bool {
        if !isSameName(left.user, right.user) { return Self.isBefore(left.user, right.user) }
        return Self.isBefore(left.device, right.device)
    }

    private static func isBefore(_ left: String?, _ right: String?) -> Bool {
        guard let left, let right else { return left == nil && right != nil }
        return left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}
