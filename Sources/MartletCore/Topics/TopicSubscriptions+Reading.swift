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
        guard self.behind > 0, !self.isReading, self.room > 0 else { return nil }
        let first = Int(self.lastRead) + 1
        for step in 0..<self.slots.count {
            let slot = (first + step) % self.slots.count
            guard self.slots[slot].isUsed,
                let log = TopicLogKind.allCases.first(where: { self.slots[slot].feeds[Int($0.rawValue)].isBehind })
            else { continue }
            self.isReading = true
            self.lastRead = Int32(slot)
            let feed = self.slots[slot].feeds[Int(log.rawValue)]
            let start = self.beginnings.first { $0.slot == slot && $0.log == log }?.start ?? .after(feed.position)
            return .read(
                TopicRead(
                    log: log,
                    request: TopicReadRequest(
                        app: app, filter: self.slots[slot].filter, start: start, messages: Self.readMessages,
                        bytes: max(1, self.windowRoom), now: now),
                    slot: slot, generation: self.slots[slot].generation))
        }
        return nil
    }

    /// A read could not be done; ``next(app:now:)`` asks again.
    package mutating func readFailed() { self.isReading = false }

    /// A read ended: its gaps and entries are to be sent, in order, unless the subscription is gone. Then ask ``next(app:now:)`` again.
    ///
    /// - Parameters:
    ///   - slice: loses what is to be read again later.
    ///   - weight: what a message takes of the connection, in bytes.
    /// - Returns: whether to send them.
    package mutating func readDone(
        _ read: TopicRead, _ slice: inout TopicSlice, weight: (StoredMessage) -> Int
    ) -> Bool {
        self.isReading = false
        guard self.slots.indices.contains(read.slot), self.slots[read.slot].generation == read.generation else { return false }
        let index = Int(read.log.rawValue)
        guard self.slots[read.slot].feeds[index].isBehind else { return false }
        var position = max(self.slots[read.slot].feeds[index].position, slice.position)
        if let beginning = self.beginnings.firstIndex(where: { $0.slot == read.slot && $0.log == read.log }) {
            let end = self.beginnings.remove(at: beginning).end
            // Where history begins says nothing of what came since: that is read, or sent, by its offset, so that what is gone of it is told.
            slice.entries.removeAll { $0.message.offset > end }
            position = min(position, end)
        }
        for entry in slice.entries { self.started(weight(entry.message)) }
        self.slots[read.slot].feeds[index].position = position
        if !slice.more, self.slots[read.slot].feeds[index].missed <= position {
            self.slots[read.slot].feeds[index].isBehind = false
            self.behind -= 1
            self.raise(read.log, to: position)
        }
        return true
    }

    /// What of the gaps of a read was not told before: a log may name one again as long as the read goes on.
    package mutating func untold(_ gaps: [TopicGap], of read: TopicRead) -> [TopicGap] {
        var left: [TopicGap] = []
        for var gap in gaps {
            if let to = gap.to, let index = self.told.firstIndex(where: { $0.slot == read.slot && isSameName($0.topic, gap.topic) }) {
                guard to > self.told[index].to else { continue }
                gap.from = max(gap.from ?? 0, self.told[index].to)
                self.told[index].to = to
            } else if let to = gap.to {
                self.told.append((read.slot, gap.topic, to))
            }
            left.append(gap)
        }
        let isBehind = self.slots.indices.contains(read.slot) && self.slots[read.slot].feeds[Int(read.log.rawValue)].isBehind
        if !isBehind { self.told.removeAll { $0.slot == read.slot } }
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
                    if ahead.count < TopicPlace.maxBehind { ahead.append(entry) }
                    continue
                }
                if log == .memory { least.memory = min(least.memory, offset) } else { least.durable = min(least.durable, offset) }
                if place.behind.count <= TopicPlace.maxBehind { place.behind.append(entry) }
            }
        }
        if place.behind.count > TopicPlace.maxBehind {
            place.behind = []
            place.memory = min(place.memory, least.memory)
            place.durable = min(place.durable, least.durable)
        } else {
            // Of those there is no room for, some comes again.
            place.behind += ahead.prefix(TopicPlace.maxBehind - place.behind.count)
        }
        return place
    }
}
