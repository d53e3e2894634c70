import MartletWire

/// Decides what one session is sent of its topics, and when.
///
/// A value without I/O, as ``Session`` is for inboxes: messages come in as they are published, what to send and what to read goes
/// out. It never holds a message: what cannot be sent at once is read from the topic's log later, or, if the topic keeps none, told as a gap.
///
/// A subscription has a *feed* in each log that its topics may be in. A feed is either live, then what is published goes out at
/// once, or behind, then it is read from the log up to its end.
package struct TopicSubscriptions: Sendable {
    /// Names a subscription of this session; used again after ``unsubscribe(_:)``.
    package typealias Slot = Int

    /// Reading of one log.
    struct Feed: Sendable {
        /// Everything of the filter at or before was sent, or told missing.
        var position: UInt64 = 0
        /// The largest offset that was announced and not sent.
        var missed: UInt64 = 0
        /// Where it began: of what is at or before it is not known whether it was sent.
        var from: UInt64 = 0
        var isBehind = false
        /// Whether topics of the filter are, or were, kept in this log.
        var isInLog = false
        /// Whether it goes on from a cursor.
        var isResumed = false
        /// Whether that cursor says that those who overlap need nothing at or before ``from``: ``TopicPlace/Behind/isKnown``.
        var isKnown = false
    }

    struct Subscription: Sendable {
        var filter: TopicFilter
        var wantsPresence: Bool
        var options: SubscribeOptions
        /// Nothing is read for it: something else goes first.
        var isHeld = false
        /// Messages of topics without history that did not fit, to be told as a gap when there is room: after the first offset up to
        /// the second; 0 and 0 for none.
        var lostFrom: UInt64 = 0
        var lostTo: UInt64 = 0
        var feeds: InlineArray<2, Feed> = .init(repeating: Feed())
        /// Slots of other subscriptions that may match the same topic.
        var neighbours: [Int32] = []
        /// Tells a slot that is used again from what it was; 0 when it is free.
        var generation: UInt32

        var isUsed: Bool { self.generation != 0 }
    }

    /// Where a feed begins that has no offset yet.
    struct Beginning: Sendable {
        var slot: Slot
        var log: TopicLogKind
        var start: TopicStart
        /// The end of the log when the subscription began: what comes after it is no history, and read like what was missed.
        var end: UInt64
    }

    /// What is to be done next for what was not sent at once.
    package enum Next: Sendable {
        /// Read, then call ``readDone(_:_:)``.
        case read(TopicRead)
        case gap(TopicGap)
    }

    /// A read under way.
    package struct TopicRead: Sendable {
        package var log: TopicLogKind
        package var request: TopicReadRequest
        package var slot: Slot
        var generation: UInt32
    }

    var slots: [Subscription] = []
    /// What live feeds were sent last. Everything of them at or before was sent.
    private(set) var reached: (memory: UInt64, durable: UInt64) = (0, 0)
    /// The newest message that was sent as it was published: several subscriptions of the session may match it.
    private var newestLive: (memory: UInt64, durable: UInt64) = (0, 0)
    /// How far a feed was read that has come up since, while others of its log may not be known to be as far.
    private var ahead: (memory: UInt64, durable: UInt64) = (0, 0)
    /// Logs in which there is, or was, something to read: one bit each.
    private var usedLogs: UInt8 = 0
    var beginnings: [Beginning] = []
    /// Up to where gaps of feeds that are behind were told, by topic.
    var told: [(slot: Slot, log: TopicLogKind, topic: String, to: UInt64)] = []
    /// Feeds that are behind, and subscriptions that lost something.
    var behind: Int32 = 0
    var lost: Int32 = 0
    private(set) var generations: UInt32 = 0
    /// What subscriptions that ended were sent, as long as others may read it.
    var ended: [Ended] = []
    var isReading = false
    /// What a message takes for which there was no room when it had been read; 0 for none.
    var wanted: Int = 0
    /// Room that is kept for the read under way.
    var reserved: Int = 0
    /// The feed that was read last, so that each has its turn: two numbers for each slot, one for each log.
    var lastRead: Int32 = -1
    /// Bytes that the socket has not taken.
    private(set) var inFlight: Int = 0
    let windowBytes: Int
    /// Messages that the client has to ack that may be started now.
    package var ackRoom = Int.max

    /// - Parameter windowBytes: bytes of topics that may wait for the socket.
    package init(windowBytes: Int) { self.windowBytes = windowBytes }

    package var isEmpty: Bool { !self.slots.contains { $0.isUsed } }
    package var count: Int { self.slots.reduce(0) { $1.isUsed ? $0 + 1 : $0 } }

    /// Every subscription with its slot.
    package var all: [(slot: Slot, filter: TopicFilter)] {
        self.slots.enumerated().compactMap { $0.element.isUsed ? ($0.offset, $0.element.filter) : nil }
    }

    package func slot(of filter: TopicFilter) -> Slot? { self.slots.firstIndex { $0.isUsed && $0.filter == filter } }

    package func wantsPresence(_ slot: Slot) -> Bool {
        self.slots.indices.contains(slot) && self.slots[slot].isUsed && self.slots[slot].wantsPresence
    }

    /// From now on the subscription is not told who comes and goes.
    package mutating func stopPresence(_ slot: Slot) {
        if self.slots.indices.contains(slot) { self.slots[slot].wantsPresence = false }
    }

    /// Whether there is room to tell who came and went.
    package mutating func takesPresence(bytes: Int) -> Bool {
        guard self.inFlight == 0 || self.inFlight + bytes <= self.windowBytes else { return false }
        self.inFlight += bytes
        return true
    }

    /// Whether there is room for so many bytes, or nothing is under way.
    package func hasRoom(_ bytes: Int) -> Bool { self.inFlight == 0 || self.inFlight + bytes <= self.windowBytes }

    /// Subscriptions that ``hold(_:_:)`` holds.
    package var held: [(slot: Slot, filter: TopicFilter)] {
        self.slots.enumerated().compactMap { $0.element.isUsed && $0.element.isHeld ? ($0.offset, $0.element.filter) : nil }
    }

    /// Something was sent that the socket has not taken.
    package var isWaitingForSocket: Bool { self.inFlight > 0 }

    /// The opposite of ``isCaughtUp``, in place.
    package var isBehind: Bool { mutating get { self.behind > 0 || self.lost > 0 } }

    func uses(_ log: TopicLogKind) -> Bool { self.usedLogs & 1 << log.rawValue != 0 }

    // Mutating, here and below: where it is asked for each delivery it is looked at in place, not copied with all that it refers to.

    /// Whether the place after a message that is sent live is the same as that of all others who say so.
    package var hasPlainPlace: Bool {
        mutating get { self.behind == 0 && self.usedLogs & (self.usedLogs &- 1) == 0 && !self.isAhead }
    }

    /// Whether a feed was read beyond ``reached``.
    var isAhead: Bool { self.ahead.memory > self.reached.memory || self.ahead.durable > self.reached.durable }

    /// Bytes that may be started now.
    var room: Int { self.inFlight == 0 ? Int.max : self.windowBytes - self.inFlight }
    var windowRoom: Int { max(0, self.windowBytes - self.inFlight) }

    /// Something went out that takes room.
    package mutating func started(_ bytes: Int) { self.inFlight += bytes }

    /// Bytes of retained values that may be started now: half of the window, so that messages that come meanwhile find room. One value may be
    /// larger when nothing else is under way; then nil.
    package var retainedRoom: Int? { self.inFlight == 0 ? nil : max(0, self.windowBytes / 2 - self.inFlight) }

    /// From now on, or until it is said again, nothing is read for the subscription.
    package mutating func hold(_ slot: Slot, _ isHeld: Bool) {
        if self.slots.indices.contains(slot), self.slots[slot].isUsed { self.slots[slot].isHeld = isHeld }
    }

    /// The socket has taken everything that was flushed.
    package mutating func socketTook() { self.inFlight = 0 }

    // MARK: Subscribing

    /// The ends of both logs, and the history that the memory log's is of.
    package struct Ends: Equatable, Sendable {
        package var memoryEpoch: UInt32
        package var memory: UInt64
        package var durable: UInt64
        /// What has an id of this time or an older one was published before, though it came to the memory log later: Unix time in
        /// milliseconds, 0 for nothing.
        package var lateUpTo: Int64

        package init(memoryEpoch: UInt32, memory: UInt64, durable: UInt64, lateUpTo: Int64 = 0) {
            self.memoryEpoch = memoryEpoch
            self.memory = memory
            self.durable = durable
            self.lateUpTo = lateUpTo
        }

        package subscript(log: TopicLogKind) -> UInt64 { log == .memory ? self.memory : self.durable }
    }

    /// Where a cursor says that a subscriber has come.
    package struct Resume: Sendable {
        package var place: TopicPlace
        /// Whether its offset of the durable log is of the store's present history.
        package var isDurableKnown: Bool

        package init(place: TopicPlace, isDurableKnown: Bool) {
            self.place = place
            self.isDurableKnown = isDurableKnown
        }
    }

    /// Adds a subscription. What is published must be announced to it from before the ends were asked for, so that nothing falls between.
    ///
    /// - Parameters:
    ///   - logs: those that the filter's topics may be kept in; none if they keep no history.
    ///   - resume: nil to begin where the wish says.
    /// - Returns: its slot, and what the client must be told is missing.
    package mutating func subscribe(
        _ wish: SubscribeWish, logs: [TopicLogKind], ends: Ends, resume: Resume?
    ) -> (slot: Slot, gaps: [TopicGap]) {
        if self.isEmpty { self.reached = (ends.memory, ends.durable) }
        self.generations = max(1, self.generations &+ 1)
        var added = Subscription(
            filter: wish.filter, wantsPresence: wish.presence, options: wish.options, generation: self.generations)
        var gaps: [TopicGap] = []
        let slot = self.slots.firstIndex { !$0.isUsed } ?? self.slots.count
        for log in TopicLogKind.allCases {
            var feed = Feed(position: ends[log], from: ends[log])
            defer { added.feeds[Int(log.rawValue)] = feed }
            guard logs.contains(log) else { continue }
            self.usedLogs |= 1 << log.rawValue
            feed.isInLog = true
            let start = self.beginning(wish, log, ends: ends, resume: resume, gaps: &gaps)
            if let resume, resume.place[log] != TopicPlace.unread {
                feed.isResumed = true
                feed.isKnown = start != .earliest && resume.place.isKnown(wish.filter, in: log)
            }
            switch start {
            case .latest: continue
            case .after(let offset):
                feed.position = offset
                feed.from = offset
            default:
                feed.position = 0
                feed.from = 0
                self.beginnings.append(Beginning(slot: slot, log: log, start: start, end: ends[log]))
            }
            feed.isBehind = true
            self.behind += 1
        }
        if slot < self.slots.count { self.slots[slot] = added } else { self.slots.append(added) }
        self.link(slot)
        return (slot, gaps)
    }

    private func beginning(
        _ wish: SubscribeWish, _ log: TopicLogKind, ends: Ends, resume: Resume?, gaps: inout [TopicGap]
    ) -> TopicStart {
        guard let resume, resume.place[log] != TopicPlace.unread else { return wish.start }
        guard log == .memory ? resume.place.memoryEpoch == ends.memoryEpoch : resume.isDurableKnown else {
            gaps.append(TopicGap(topic: wish.filter.text, reason: .epoch))
            return .earliest
        }
        let offset = resume.place.offset(of: wish.filter, in: log)
        if offset > ends[log] {
            gaps.append(TopicGap(topic: wish.filter.text, reason: .beyondEnd))
            return .earliest
        }
        return offset == ends[log] ? .latest : .after(offset)
    }

    package mutating func unsubscribe(_ slot: Slot) {
        guard self.slots.indices.contains(slot), self.slots[slot].isUsed else { return }
        self.unlink(slot)
        for index in 0..<2 where self.slots[slot].feeds[index].isBehind { self.behind -= 1 }
        if self.slots[slot].lostTo > 0 { self.lost -= 1 }
        self.beginnings.removeAll { $0.slot == slot }
        self.told.removeAll { $0.slot == slot }
        self.slots[slot].generation = 0
        self.slots[slot].filter = TopicFilter(topic: "")
        if self.isEmpty {
            self.slots = []
            self.ended = []
        }
    }

    // MARK: Live

    /// A message for a subscription was published. Calls come in the order of the offsets of each log.
    ///
    /// - Parameters:
    ///   - log: where it is kept; nil if it is not.
    ///   - bytes: what it will take of the connection.
    ///   - isAcked: whether the client has to ack it.
    ///   - mustWait: whether something of the topic has to go before it: it is read later, or lost.
    /// - Returns: whether to send it now.
    @inline(__always)
    package mutating func announced(
        _ slot: Slot, offset: UInt64, topic: String, log: TopicLogKind?, bytes: Int, isAcked: Bool = false, mustWait: Bool = false
    ) -> Bool {
        guard slot < self.slots.count, self.slots[slot].isUsed else { return false }
        let fits =
            !mustWait && (self.inFlight + self.reserved == 0 || self.inFlight + self.reserved + bytes <= self.windowBytes)
            && (!isAcked || self.ackRoom > 0)
        switch log {
        case nil:
            // Another subscription of the session may have it already.
            guard offset > self.newestLive.memory else { return false }
            // One that overlaps tells of it, then so does this one.
            guard fits, self.lost == 0 || self.slots[slot].lostTo == 0 && self.slots[slot].neighbours.isEmpty else {
                self.lose(slot, offset)
                return false
            }
        case let log?:
            let index = Int(log.rawValue)
            self.usedLogs |= 1 << log.rawValue
            self.slots[slot].feeds[index].isInLog = true
            guard offset > self.slots[slot].feeds[index].position else { return false }
            if !self.ended.isEmpty { self.forgetEnded(index, before: offset) }
            if !self.slots[slot].neighbours.isEmpty || !self.ended.isEmpty, !self.slots[slot].feeds[index].isBehind,
                self.isSent(topic, offset, besides: slot, index)
            {
                self.slots[slot].feeds[index].position = offset
                self.raise(log, to: offset)
                return false
            }
            guard fits, !self.slots[slot].feeds[index].isBehind, self.slots[slot].neighbours.isEmpty || !self.waits(slot, index) else {
                self.fallBehind(slot, index, offset)
                return false
            }
            self.slots[slot].feeds[index].position = offset
        }
        switch log ?? .memory {
        case .memory:
            guard offset > self.newestLive.memory else { return false }
            self.newestLive.memory = offset
            if offset > self.reached.memory { self.reached.memory = offset }
        case .durable:
            guard offset > self.newestLive.durable else { return false }
            self.newestLive.durable = offset
            if offset > self.reached.durable { self.reached.durable = offset }
        }
        self.inFlight += bytes
        if isAcked { self.ackRoom -= 1 }
        return true
    }

    private mutating func lose(_ slot: Slot, _ offset: UInt64) {
        if self.slots[slot].lostTo == 0 {
            self.lost += 1
            self.slots[slot].lostFrom = offset - 1
        }
        self.slots[slot].lostTo = offset
    }

    mutating func fallBehind(_ slot: Slot, _ log: Int, _ offset: UInt64) {
        if !self.slots[slot].feeds[log].isBehind {
            self.slots[slot].feeds[log].isBehind = true
            self.behind += 1
        }
        self.slots[slot].feeds[log].missed = offset
    }

    /// A feed has come up: the place of the session moves on with it, as far as all live feeds of the log were sent everything, or had nothing.
    mutating func raise(_ log: TopicLogKind, to position: UInt64) {
        if log == .memory { self.ahead.memory = max(self.ahead.memory, position) } else { self.ahead.durable = max(self.ahead.durable, position) }
        let index = Int(log.rawValue)
        var least = UInt64.max
        for subscription in self.slots where subscription.isUsed && subscription.feeds[index].isInLog {
            if subscription.feeds[index].isBehind { return }
            least = min(least, subscription.feeds[index].position)
        }
        guard least != .max else { return }
        if log == .memory { self.reached.memory = max(self.reached.memory, least) } else { self.reached.durable = max(self.reached.durable, least) }
    }
}
