/// What was not sent at once: reading it from the logs, or telling that it is gone.
extension TopicSubscriptions {
    /// Messages of one read, at most.
    private static let readMessages = 256

    /// Whether there is nothing that waits to be read or told.
    package var isCaughtUp: Bool { self.behind == 0 && self.lost == 0 }

    /// What to do next; nil if nothing is to be done now. A read that was returned must end in ``readDone(_:_:)`` or ``readFailed()``.
    ///
    /// - Parameter now: the server's clock, in milliseconds.
    package mutating func next(app: AppID, now: Int64) -> Next? {
        if self.lost > 0, self.room > 0, let slot = self.slots.firstIndex(where: { $0.isUsed && $0.lostTo > 0 }) {
            let subscription = self.slots[slot]
            self.slots[slot].lostTo = 0
            self.lost -= 1
            return .gap(
                TopicGap(topic: subscription.filter.text, reason: .slow, from: subscription.lostFrom, to: subscription.lostTo))
        }
        guard self.behind > 0, !self.isReading, self.room > 0, self.room >= self.wanted else { return nil }
        let first = Int(self.lastRead) + 1
        for step in 0..<2 * self.slots.count {
            let turn = (first + step) % (2 * self.slots.count)
            let slot = turn / 2
            let log: TopicLogKind = turn % 2 == 0 ? .memory : .durable
            guard self.slots[slot].isUsed, !self.slots[slot].isHeld, self.slots[slot].feeds[Int(log.rawValue)].isBehind, self.isNext(slot, log) else {
                continue
            }
            let isAcked = self.mayBeAcked(slot)
            guard !isAcked || self.ackRoom > 0 else { continue }
            self.isReading = true
            // Live messages may take all the room before the read is done, but not twice what it has for the same message.
            if self.wanted > 0 { self.reserved = max(self.wanted, min(self.windowRoom, self.windowBytes / 2)) }
            self.lastRead = Int32(turn)
            let feed = self.slots[slot].feeds[Int(log.rawValue)]
            let start = self.beginnings.first { $0.slot == slot && $0.log == log }?.start ?? .after(feed.position)
            return .read(
                TopicRead(
                    log: log,
                    request: TopicReadRequest(
                        app: app, filter: self.slots[slot].filter, start: start,
                        messages: isAcked ? min(Self.readMessages, self.ackRoom) : Self.readMessages,
                        bytes: max(1, self.windowRoom), now: now),
                    slot: slot, generation: self.slots[slot].generation))
        }
        return nil
    }

    /// Whether the client may have to ack what a subscription matches: what overlaps counts, too.
    private func mayBeAcked(_ slot: Slot) -> Bool {
        self.slots[slot].options.qos > 0 || self.slots[slot].neighbours.contains { self.slots[Int($0)].options.qos > 0 }
    }

    /// Whether a feed that is behind may be read before the others.
    private func isNext(_ slot: Slot, _ log: TopicLogKind) -> Bool {
        let neighbours = self.slots[slot].neighbours
        // One that has not found where it begins looks for that first.
        return neighbours.isEmpty || self.beginnings.contains { $0.slot == slot && $0.log == log } || !self.waits(slot, Int(log.rawValue))
    }

    /// A read could not be done; ``next(app:now:)`` asks again.
    package mutating func readFailed() {
        self.isReading = false
        self.reserved = 0
    }

    /// A read ended: its gaps and entries are to be sent, in order, unless the subscription is gone. Then ask ``next(app:now:)`` again.
    ///
    /// - Parameters:
    ///   - slice: loses what is to be read again later.
    ///   - origin: of a client that acks, names it; its own messages are left out where it does not want them.
    ///   - weight: what a message takes of the connection, in bytes.
    /// - Returns: whether to send them.
    package mutating func readDone(
        _ read: TopicRead, _ slice: inout TopicSlice, origin: UInt32? = nil, weight: (StoredMessage) -> Int
    ) -> Bool {
        self.isReading = false
        self.reserved = 0
        guard self.slots.indices.contains(read.slot), self.slots[read.slot].generation == read.generation else { return false }
        let index = Int(read.log.rawValue)
        guard self.slots[read.slot].feeds[index].isBehind else { return false }
        var position = max(self.slots[read.slot].feeds[index].position, slice.position)
        if let beginning = self.beginnings.firstIndex(where: { $0.slot == read.slot && $0.log == read.log }) {
            let begun = self.beginnings.remove(at: beginning)
            // Where history begins says nothing of what came since: that is read, or sent, by its offset, so that what is gone of it is told.
            slice.entries.removeAll { $0.message.offset > begun.end }
            position = min(position, begun.end)
            let from = slice.entries.first.map { $0.message.offset - 1 } ?? position
            self.slots[read.slot].feeds[index].from = from
            if !self.slots[read.slot].neighbours.isEmpty {
                // Found. From there it is read in turn with those that overlap, so that they all are told the same gaps.
                self.slots[read.slot].feeds[index].position = from
                self.letGo(read.slot, index)
                return false
            }
        }
        // One that overlaps may have begun since, further back.
        guard !self.waits(read.slot, index) else { return false }
        if !self.slots[read.slot].neighbours.isEmpty || !self.ended.isEmpty {
            slice.entries.removeAll { self.isSent($0.topic, $0.message.offset, besides: read.slot, index) }
        }
        if let origin { slice.entries.removeAll { self.grant(read.slot, $0.topic, $0.message.marks, origin: origin) == nil } }
        if let cut = self.startAll(&slice, of: read.slot, origin, weight) { position = cut }
        // It has the next turn again, or others might take the room for ever.
        if self.wanted > 0 { self.lastRead = Int32(2 * read.slot + index) - 1 }
        self.slots[read.slot].feeds[index].position = position
        if !slice.more, self.slots[read.slot].feeds[index].missed <= position {
            self.slots[read.slot].feeds[index].isBehind = false
            self.behind -= 1
            self.raise(read.log, to: position)
        }
        return true
    }

    /// Takes what there is room for: live messages may have taken some since the read was asked for.
    ///
    /// - Returns: the place after what was taken, if that is not everything.
    private mutating func startAll(
        _ slice: inout TopicSlice, of slot: Slot, _ origin: UInt32?, _ weight: (StoredMessage) -> Int
    ) -> UInt64? {
        self.wanted = 0
        for (index, entry) in slice.entries.enumerated() {
            let bytes = weight(entry.message)
            let isAcked = origin.map { self.grant(slot, entry.topic, entry.message.marks, origin: $0)?.qos ?? 0 > 0 } ?? false
            let fits = self.inFlight == 0 || self.inFlight + bytes <= self.windowBytes
            guard fits, !isAcked || self.ackRoom > 0 else {
                if index == 0, !fits { self.wanted = bytes }
                slice.entries.removeSubrange(index...)
                slice.more = true
                return entry.message.offset - 1
            }
            self.started(bytes)
            if isAcked { self.ackRoom -= 1 }
        }
        return nil
    }

    /// What of the gaps of a read was not told before: a log may name one again as long as the read goes on.
    package mutating func untold(_ gaps: [TopicGap], of read: TopicRead) -> [TopicGap] {
        var left: [TopicGap] = []
        for gap in gaps {
            guard self.slots.indices.contains(read.slot), var gap = self.clipped(gap, of: read.slot, Int(read.log.rawValue)) else { continue }
            if let to = gap.to,
                let index = self.told.firstIndex(where: { $0.slot == read.slot && $0.log == read.log && isSameName($0.topic, gap.topic) })
            {
                guard to > self.told[index].to else { continue }
                gap.from = max(gap.from ?? 0, self.told[index].to)
                self.told[index].to = to
            } else if let to = gap.to {
                self.told.append((read.slot, read.log, gap.topic, to))
            }
            left.append(gap)
        }
        let isBehind = self.slots.indices.contains(read.slot) && self.slots[read.slot].feeds[Int(read.log.rawValue)].isBehind
        if !isBehind { self.told.removeAll { $0.slot == read.slot && $0.log == read.log } }
        return left
    }

    /// The place of the session after everything that was sent, for its cursor.
    ///
    /// - Parameters:
    ///   - memoryEpoch: of the memory log.
    ///   - sending: while the entries of a read are sent: its subscription's place is after this offset, not after the whole read.
    package func place(memoryEpoch: UInt32, sending: (read: TopicRead, offset: UInt64)? = nil) -> TopicPlace {
        var place = TopicPlace(memoryEpoch: memoryEpoch)
        for log in TopicLogKind.allCases where self.uses(log) {
            place[log] = log == .memory ? self.reached.memory : self.reached.durable
        }
        guard self.behind > 0 || sending != nil || self.isAhead else { return place }
        var least: (memory: UInt64, durable: UInt64) = (.max, .max)
        var ahead: [TopicPlace.Behind] = []
        var behindSlots: [Slot] = []
        var aheadSlots: [Slot] = []
        for (slot, subscription) in self.slots.enumerated() where subscription.isUsed {
            for log in TopicLogKind.allCases {
                let feed = subscription.feeds[Int(log.rawValue)]
                guard feed.isInLog, self.uses(log) else { continue }
                var offset = feed.position
                if let sending, sending.read.slot == slot, sending.read.log == log {
                    offset = sending.offset
                } else if !feed.isBehind, offset < place[log] {
                    continue
                }
                guard offset != place[log] else { continue }
                let entry = TopicPlace.Behind(hash: shortHash(subscription.filter.text), log: log, offset: offset)
                if offset > place[log] {
                    if ahead.count < TopicPlace.maxBehind {
                        ahead.append(entry)
                        aheadSlots.append(slot)
                    }
                    continue
                }
                if log == .memory { least.memory = min(least.memory, offset) } else { least.durable = min(least.durable, offset) }
                if place.behind.count <= TopicPlace.maxBehind {
                    place.behind.append(entry)
                    behindSlots.append(slot)
                }
            }
        }
        if place.behind.count > TopicPlace.maxBehind {
            place.behind = []
            place.memory = min(place.memory, least.memory)
            place.durable = min(place.durable, least.durable)
        } else {
            // Of those there is no room for, some comes again.
            let room = TopicPlace.maxBehind - place.behind.count
            place.behind += ahead.prefix(room)
            self.markKnown(&place, listed: behindSlots + aheadSlots.prefix(room), sending: sending)
        }
        return place
    }
}
