/// Subscriptions of one session that match the same topics, such as `a/#` and `a/b`: each message goes out for one of them, and each topic
/// in order.
///
/// What a feed matches after its ``Feed/from``, up to its ``Feed/position``, was sent, or told missing. So what is read for another one is left
/// out if it lies there; and a feed waits for one that overlaps and has not come to where it began, because what that one reads is older.
extension TopicSubscriptions {
    /// What a subscription was sent that has ended.
    struct Ended: Sendable {
        var filter: TopicFilter
        var log: Int
        var feed: Feed
        /// Those that have begun since ask anew.
        var generation: UInt32
    }

    /// Subscriptions that have ended that are remembered; without one, some comes again.
    private static let endedLimit = 64

    /// A subscription was entered.
    mutating func link(_ slot: Slot) {
        for other in self.slots.indices where other != slot && self.slots[other].isUsed {
            guard self.slots[slot].filter.overlaps(self.slots[other].filter) else { continue }
            self.slots[slot].neighbours.append(Int32(other))
            self.slots[other].neighbours.append(Int32(slot))
        }
        for log in 0..<2 where self.slots[slot].feeds[log].isInLog { self.letGo(slot, log) }
    }

    /// A feed has found where it begins: those live that are not known to be there read up to it. What was published may be on its way to them.
    mutating func letGo(_ slot: Slot, _ log: Int) {
        let from = self.slots[slot].feeds[log].from
        for other in self.slots[slot].neighbours.lazy.map({ Int($0) }) {
            let feed = self.slots[other].feeds[log]
            if feed.isInLog, !feed.isBehind, feed.position < from { self.fallBehind(other, log, from) }
        }
    }

    /// A subscription ends.
    mutating func unlink(_ slot: Slot) {
        let own = self.slots[slot]
        self.slots[slot].neighbours = []
        for other in own.neighbours { self.slots[Int(other)].neighbours.removeAll { $0 == Int32(slot) } }
        for log in 0..<2 where own.feeds[log].isInLog {
            let isNeeded = own.neighbours.contains { other in
                self.slots[Int(other)].feeds[log].position < own.feeds[log].position
            }
            guard isNeeded else { continue }
            if self.ended.count >= Self.endedLimit { self.ended.removeFirst() }
            self.ended.append(Ended(filter: own.filter, log: log, feed: own.feeds[log], generation: self.generations))
        }
    }

    /// What comes now is newer than all that one that has ended was sent, and nothing is to be read.
    mutating func forgetEnded(_ log: Int, before offset: UInt64) {
        if self.behind == 0 { self.ended.removeAll { $0.log == log && $0.feed.position < offset } }
    }

    /// After which offset a feed was sent everything, as far as another one needs to know.
    private func from(_ feed: Feed, for other: Feed) -> UInt64 { feed.isKnown && other.isResumed ? 0 : feed.from }

    /// Whether a message went out for another subscription, or was told missing.
    func isSent(_ topic: String, _ offset: UInt64, besides slot: Slot, _ log: Int) -> Bool {
        let own = self.slots[slot].feeds[log]
        for other in self.slots[slot].neighbours {
            let feed = self.slots[Int(other)].feeds[log]
            guard feed.isInLog, offset > self.from(feed, for: own), self.slots[Int(other)].filter.matches(topic) else { continue }
            if offset <= feed.position || self.isTold(topic, offset, by: Int(other), log) { return true }
        }
        let generation = self.slots[slot].generation
        return self.ended.contains {
            $0.log == log && generation <= $0.generation && offset <= $0.feed.position && offset > self.from($0.feed, for: own)
                && $0.filter.matches(topic)
        }
    }

    /// Whether a gap that was told reaches beyond what was read.
    private func isTold(_ topic: String, _ offset: UInt64, by slot: Slot, _ log: Int) -> Bool {
        self.told.contains { told in
            told.slot == slot && Int(told.log.rawValue) == log && offset <= told.to
                && (isSameName(told.topic, topic) || isSameName(told.topic, self.slots[slot].filter.text))
        }
    }

    /// Whether a feed has to let another one go first, which reads what is older.
    func waits(_ slot: Slot, _ log: Int) -> Bool {
        let own = self.slots[slot].feeds[log]
        return self.behind > 0
            && self.slots[slot].neighbours.contains { other in
                let feed = self.slots[Int(other)].feeds[log]
                return feed.isBehind && feed.position < self.from(own, for: feed)
            }
    }

    /// What is left of a gap that one subscription finds, with what went out for others.
    func clipped(_ gap: TopicGap, of slot: Slot, _ log: Int) -> TopicGap? {
        guard var from = gap.from, let to = gap.to else { return gap }
        let own = self.slots[slot].feeds[log]
        for other in self.slots[slot].neighbours {
            let feed = self.slots[Int(other)].feeds[log]
            guard feed.isInLog, feed.position > from, self.from(feed, for: own) <= from,
                self.slots[Int(other)].filter.covers(TopicFilter(topic: gap.topic))
            else { continue }
            from = feed.position
        }
        guard from < to else { return nil }
        var gap = gap
        gap.from = from
        return gap
    }

    // MARK: Sessions that are kept

    /// What a filter matches after one offset of the durable log, up to another, was sent.
    package struct Range: Equatable, Sendable {
        package var filter: TopicFilter
        package var from: UInt64
        package var position: UInt64

        package init(filter: TopicFilter, from: UInt64, position: UInt64) {
            self.filter = filter
            self.from = from
            self.position = position
        }
    }

    /// After where a subscription was sent everything of the durable log up to its ``durablePosition(_:)``; nil if that matters to no other.
    package func durableFrom(_ slot: Slot) -> UInt64? {
        guard self.slots.indices.contains(slot), !self.slots[slot].neighbours.isEmpty else { return nil }
        return self.slots[slot].feeds[Int(TopicLogKind.durable.rawValue)].from
    }

    /// What subscriptions were sent of the durable log that have ended, as far as one of the others may still read it.
    package var durableEnded: [Range] {
        self.ended.compactMap { one in
            guard one.log == Int(TopicLogKind.durable.rawValue) else { return nil }
            let isNeeded = self.slots.indices.contains { slot in
                self.slots[slot].isUsed && self.durablePosition(slot) < one.feed.position && self.slots[slot].filter.overlaps(one.filter)
            }
            return isNeeded ? Range(filter: one.filter, from: one.feed.from, position: one.feed.position) : nil
        }
    }

    /// A session goes on: what its subscriptions were sent before counts as sent by this one.
    ///
    /// - Parameters:
    ///   - ranges: of those that stand again.
    ///   - ended: as ``durableEnded`` was.
    package mutating func goOn(_ ranges: [Range], ended: [Range]) {
        let log = Int(TopicLogKind.durable.rawValue)
        for range in ranges {
            guard let slot = self.slot(of: range.filter), self.slots[slot].feeds[log].position <= range.position else { continue }
            self.slots[slot].feeds[log].from = min(range.from, self.slots[slot].feeds[log].from)
        }
        for range in ended.suffix(Self.endedLimit) {
            self.ended.append(
                Ended(filter: range.filter, log: log, feed: Feed(position: range.position, from: range.from), generation: self.generations))
        }
    }

    // MARK: The cursor

    /// Says in a place which of the filters in it were sent what others are still to read, and adds those that are not listed for
    /// another reason.
    ///
    /// - Parameters:
    ///   - place: before it: where every filter is that is not listed.
    ///   - listed: the slots of the place's list, in its order.
    ///   - sending: see ``place(memoryEpoch:sending:)``.
    func markKnown(_ place: inout TopicPlace, listed: [Slot], sending: (read: TopicRead, offset: UInt64)?) {
        let common = (memory: place.memory, durable: place.durable)
        func position(_ slot: Slot, _ log: TopicLogKind) -> UInt64 {
            let feed = self.slots[slot].feeds[Int(log.rawValue)]
            if let sending, sending.read.slot == slot, sending.read.log == log { return sending.offset }
            return feed.isBehind ? feed.position : max(feed.position, log == .memory ? common.memory : common.durable)
        }
        // Whether all that are less far need nothing of what it was sent; nil if none is.
        func isKnown(_ slot: Slot, _ log: TopicLogKind) -> Bool? {
            let own = self.slots[slot].feeds[Int(log.rawValue)]
            let end = position(slot, log)
            var result: Bool?
            for other in self.slots[slot].neighbours {
                let feed = self.slots[Int(other)].feeds[Int(log.rawValue)]
                let reached = position(Int(other), log)
                guard feed.isInLog, reached < end else { continue }
                guard self.from(own, for: feed) <= reached else { return false }
                result = true
            }
            return result
        }
        for index in place.behind.indices where isKnown(listed[index], place.behind[index].log) == true { place.behind[index].isKnown = true }
        var seen: [(slot: Slot, log: TopicLogKind)] = Array(zip(listed, place.behind.lazy.map(\.log)))
        let most = seen.count + 2 * TopicPlace.maxBehind
        for (slot, log) in seen {
            for other in self.slots[slot].neighbours where self.slots[Int(other)].feeds[Int(log.rawValue)].isInLog {
                guard place.behind.count < TopicPlace.maxBehind, seen.count < most else { return }
                guard !seen.contains(where: { $0.slot == Int(other) && $0.log == log }) else { continue }
                seen.append((Int(other), log))
                guard isKnown(Int(other), log) == true else { continue }
                place.behind.append(
                    TopicPlace.Behind(
                        hash: shortHash(self.slots[Int(other)].filter.text), log: log, offset: position(Int(other), log), isKnown: true))
            }
        }
    }
}
