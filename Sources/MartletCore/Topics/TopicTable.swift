package import MartletWire

/// The log of topics that is in memory: history, retained values, and what was lost of them. A value without I/O; whoever holds it calls
/// from one place at a time.
///
/// **Offsets** grow by one with each append, over all topics of all apps, from 1.
///
/// **Gaps** are exact: what the limits of a topic, or of all together (``Limits/topicMemoryBytes``), took is told to who reads on from
/// before it, also when nothing is left of the topic. What expired by its own TTL, was recalled, or was never kept is left out without one.
/// Only of topics that have long been empty, when there are very many, it is not known any more which of them lost something: then a read from
/// before that is told of a gap whether or not the topic lost anything.
package struct TopicTable {
    /// Offset of the newest message; 0 for none.
    package private(set) var end: UInt64 = 0
    /// What is counted against ``Limits/topicMemoryBytes``, in bytes.
    package private(set) var bytes = 0
    /// Topics of which something is known.
    package var topicCount: Int { self.slots.count }

    let limits: Limits
    /// By slot; a slot that is free is used again.
    var rings: [TopicRing] = []
    private(set) var slots: [TopicKey: Int] = [:]
    private var freeSlots: [Int] = []
    /// The slots of each namespace, by its name.
    private(set) var namespaces: [TopicKey: [Int]] = [:]
    /// What each app holds.
    private(set) var shares: [AppID: TopicShare] = [:]
    /// What limits took since it was asked for last.
    private var evictions = TopicEvictions()
    /// By app, the topics that have a retained value.
    private(set) var retainedNames: [AppID: NameIndex] = [:]
    private var keys = TopicKeys()
    /// Topics of which nothing is left but what they lost; the oldest is forgotten first.
    private var empties = TopicQueue<Empty>()
    private var emptyCount = 0
    private var lastStamp: UInt64 = 0
    /// Up to where a topic that is not known may have lost something.
    private(set) var floor: UInt64 = 0
    /// The newest message that any topic lost.
    private(set) var newestTrim: UInt64 = 0
    private var nextSweep = 0

    private struct Empty {
        var slot: Int
        var stamp: UInt64
    }

    /// What keeping a message and a topic takes beside their own bytes, about, in bytes.
    private static let messageOverhead = 192
    private static let topicOverhead = 512

    package init(limits: Limits) { self.limits = limits }

    /// Topics that are remembered although they are empty.
    private var maxEmpties: Int { max(16, self.limits.topicMemoryBytes / 4_096) }

    // MARK: Changes

    /// Publishes a message: gives it an offset, and keeps what the topic's options say.
    ///
    /// - Parameters:
    ///   - id: larger than that of each earlier message, or ``remove(_:app:now:)`` does not find it.
    ///   - now: the server's clock, in milliseconds.
    ///   - at: Unix time in milliseconds.
    package mutating func append(
        _ request: AppendRequest, to key: TopicKey, options: TopicOptions, id: MessageID, now: Int64, at: Int64
    ) -> TopicAppended {
        if let idempotency = request.idempotency {
            if let known = self.known(idempotency, in: key.app, now: now) { return known }
            self.keys.add(idempotency, in: key.app, id: id, now: now, limits: self.limits)
        }
        self.end += 1
        let message = StoredMessage(
            id: id, offset: self.end, priority: request.priority, at: at, expiresAt: now + Int64(request.ttl) * 1_000, collapseKey: nil,
            liveOnly: request.ttl == 0, marks: request.marks, fragment: StoredMessage.fragment(id: id, at: at, members: request.members))
        let retain = request.topic?.retain ?? .leave
        let isKept = options.keepsHistory && !message.liveOnly
        let isRetained = retain == .set && !message.liveOnly
        guard isKept || isRetained || !self.slots.isEmpty else { return .stored(message) }
        guard let slot = self.slots[key] ?? (isKept || isRetained ? self.add(key) : nil) else { return .stored(message) }
        let had = self.rings[slot].hasContent
        self.rings[slot].keep = .init(messages: options.historyMessages, seconds: options.historySeconds, bytes: options.historyBytes)
        if retain != .leave { self.setRetained(isRetained ? message : nil, slot) }
        if isKept { self.keep(.init(message: message, storedAt: now), slot) }
        if isKept || isRetained {
            self.shares[key.app, default: TopicShare()].places.append(.init(offset: message.offset, id: id, slot: Int32(slot)))
        }
        self.trimFront(slot, now: now)
        self.settle(slot, had: had)
        if self.bytes > self.limits.topicMemoryBytes { self.evict(now: now) }
        self.compactPlaces(of: key.app)
        return .stored(message)
    }

    /// What an append with an idempotency key would return; nil if the key is not known.
    package func known(_ idempotency: AppendRequest.Idempotency, in app: AppID, now: Int64) -> TopicAppended? {
        switch self.keys.find(idempotency, in: app, now: now) {
        case .same(let id): .repeated(id)
        case .other: .conflict
        case nil: nil
        }
    }

    /// Takes a message back: no read returns it any more, and it is retained no longer.
    ///
    /// - Returns: nil if it is not kept, or not the app's.
    package mutating func remove(_ id: MessageID, app: AppID, now: Int64) -> TopicRemoved? {
        guard let index = self.shares[app]?.places.firstIndex(where: { $0.id >= id }), var place = self.shares[app]?.places[index],
            place.id == id
        else { return nil }
        if place.isRecalled { return TopicRemoved(offset: place.offset, outcome: .recalled) }
        let slot = Int(place.slot)
        let item = self.rings[slot].index(of: place.offset)
        let retained = self.rings[slot].retained.flatMap { $0.offset == place.offset ? $0 : nil }
        guard let message = item.flatMap({ self.rings[slot].items[$0]?.message }) ?? retained else { return nil }
        guard !message.isExpired(at: now) else { return TopicRemoved(offset: place.offset, outcome: .expired) }
        if retained != nil { self.setRetained(nil, slot) }
        if let item {
            self.rings[slot].items.remove(at: item)
            self.forget(message, slot)
        }
        place.isRecalled = true
        self.shares[app]?.places.replace(at: index, with: place)
        self.settle(slot, had: true)
        return TopicRemoved(offset: place.offset, outcome: .recalled)
    }

    /// Lets go of what is too old or has expired: of some topics with each call, of all in turn. Reads leave such messages out anyway; this
    /// returns their memory. To be called every second or so.
    package mutating func trim(now: Int64) {
        var budget = 20_000
        var visited = 0
        while budget > 0, visited < self.rings.count {
            if self.nextSweep >= self.rings.count { self.nextSweep = 0 }
            budget -= 1 + self.rings[self.nextSweep].items.count
            self.sweep(self.nextSweep, now: now)
            self.nextSweep += 1
            visited += 1
        }
        self.keys.forget(now: now)
        for app in self.shares.keys { self.compactPlaces(of: app) }
    }

    /// What limits took since the last call.
    package mutating func takeEvictions() -> TopicEvictions {
        defer { self.evictions = TopicEvictions() }
        return self.evictions
    }

    /// Lets go of what is too old or has expired in one topic.
    mutating func sweep(_ slot: Int, now: Int64) {
        guard !self.rings[slot].isFree, self.rings[slot].hasContent else { return }
        if self.rings[slot].retained?.isExpired(at: now) == true { self.setRetained(nil, slot) }
        self.trimFront(slot, now: now)
        var expired: [StoredMessage] = []
        for index in 0..<self.rings[slot].items.count {
            if let message = self.rings[slot].items[index]?.message, message.isExpired(at: now) { expired.append(message) }
        }
        if !expired.isEmpty { self.rings[slot].items.keep { !$0.message.isExpired(at: now) } }
        for message in expired { self.forget(message, slot) }
        self.settle(slot, had: true)
    }

    // MARK: Pieces of a change

    private mutating func keep(_ item: TopicRing.Item, _ slot: Int) {
        self.rings[slot].items.append(item)
        self.rings[slot].bytes += item.message.weight
        self.count(1, item.message.weight + Self.messageOverhead, slot)
    }

    private mutating func count(_ messages: Int, _ bytes: Int, _ slot: Int) {
        self.bytes += bytes
        self.shares[self.rings[slot].key.app, default: TopicShare()].count(messages, bytes)
    }

    /// Counts a message that has left its ring.
    private mutating func forget(_ message: StoredMessage, _ slot: Int) {
        self.rings[slot].bytes -= message.weight
        self.count(-1, -message.weight - Self.messageOverhead, slot)
    }

    /// Sets or, with nil, clears the retained value of a topic.
    private mutating func setRetained(_ message: StoredMessage?, _ slot: Int) {
        let key = self.rings[slot].key
        let old = self.rings[slot].retained
        self.rings[slot].retained = message
        if let old { self.count(-1, -old.weight - Self.messageOverhead, slot) }
        if let message { self.count(1, message.weight + Self.messageOverhead, slot) }
        if old == nil, message != nil { self.retainedNames[key.app, default: NameIndex()].insert(key.name) }
        if old != nil, message == nil {
            self.retainedNames[key.app]?.remove(key.name)
            if self.retainedNames[key.app]?.isEmpty == true { self.retainedNames[key.app] = nil }
        }
    }

    /// Takes the oldest message of a topic for the sake of a limit.
    private mutating func dropFirst(_ slot: Int, _ reason: TopicEvictions.Reason, now: Int64) {
        guard let item = self.rings[slot].items.popFirst() else { return }
        self.forget(item.message, slot)
        // One that had expired by then is no loss, whenever this is found out.
        guard !item.message.isExpired(at: min(now, self.rings[slot].tooOldAt(item))) else { return }
        self.rings[slot].trimmedUpTo = item.message.offset
        self.newestTrim = max(self.newestTrim, item.message.offset)
        self.evictions[reason] += 1
    }

    mutating func trimFront(_ slot: Int, now: Int64) {
        while let reason = self.rings[slot].reasonToTrim(now: now) { self.dropFirst(slot, reason, now: now) }
    }

    /// Keeps all topics together within the limit: the oldest message of the app that holds most goes first. So what an app loses it loses to
    /// itself, as long as it holds less than its share.
    private mutating func evict(now: Int64) {
        while self.bytes > self.limits.topicMemoryBytes,
            let app = self.shares.max(by: { ($0.value.bytes, $0.key.rawValue) < ($1.value.bytes, $1.key.rawValue) })?.key,
            let place = self.shares[app]?.places.popFirst()
        {
            let slot = Int(place.slot)
            guard !self.rings[slot].isFree else { continue }
            let had = self.rings[slot].hasContent
            if self.rings[slot].retained?.offset == place.offset {
                self.setRetained(nil, slot)
                self.evictions[.memory] += 1
            }
            if self.rings[slot].items.first?.message.offset == place.offset { self.dropFirst(slot, .memory, now: now) }
            self.settle(slot, had: had)
        }
    }

    private mutating func compactPlaces(of app: AppID) {
        guard let share = self.shares[app], share.places.count > 2 * share.kept + 4_096 else { return }
        let rings = self.rings
        self.shares[app]?.places.keep { place in
            let ring = rings[Int(place.slot)]
            return !ring.isFree && (ring.retained?.offset == place.offset || ring.index(of: place.offset) != nil)
        }
    }

    // MARK: Topics come and go

    private mutating func add(_ key: TopicKey) -> Int {
        var ring = TopicRing(key: key)
        ring.unknownUpTo = self.floor
        let namespace = Self.namespace(of: key.name, in: key.app)
        let slot = self.freeSlots.popLast() ?? self.rings.count
        ring.memberIndex = self.namespaces[namespace]?.count ?? 0
        self.namespaces[namespace, default: []].append(slot)
        if slot == self.rings.count { self.rings.append(ring) } else { self.rings[slot] = ring }
        self.slots[key] = slot
        return slot
    }

    private mutating func removeTopic(_ slot: Int) {
        let key = self.rings[slot].key
        let namespace = Self.namespace(of: key.name, in: key.app)
        let index = self.rings[slot].memberIndex
        if var members = self.namespaces.removeValue(forKey: namespace), let last = members.popLast() {
            if index < members.count {
                members[index] = last
                self.rings[last].memberIndex = index
            }
            if !members.isEmpty { self.namespaces[namespace] = members }
        }
        self.slots[key] = nil
        self.rings[slot] = TopicRing(key: TopicKey(app: key.app, name: ""))
        self.rings[slot].isFree = true
        self.freeSlots.append(slot)
    }

    /// Counts a topic that has got its first or lost its last message; one that lost nothing for good is forgotten then.
    private mutating func settle(_ slot: Int, had: Bool) {
        let has = self.rings[slot].hasContent
        if has, self.rings[slot].emptyStamp != 0 {
            self.rings[slot].emptyStamp = 0
            self.emptyCount -= 1
        }
        let size = self.rings[slot].key.name.utf8.count + Self.topicOverhead
        if has != had { self.count(0, has ? size : -size, slot) }
        guard !has, self.rings[slot].emptyStamp == 0 else { return }
        guard self.rings[slot].trimmedUpTo > self.floor else { return self.removeTopic(slot) }
        self.lastStamp += 1
        self.rings[slot].emptyStamp = self.lastStamp
        self.empties.append(Empty(slot: slot, stamp: self.lastStamp))
        self.emptyCount += 1
        while self.emptyCount > self.maxEmpties, let oldest = self.empties.popFirst() {
            guard self.rings[oldest.slot].emptyStamp == oldest.stamp else { continue }
            self.emptyCount -= 1
            self.floor = max(self.floor, self.rings[oldest.slot].trimmedUpTo)
            self.removeTopic(oldest.slot)
        }
        if self.empties.count > 2 * self.emptyCount + 1_024 {
            let rings = self.rings
            self.empties.keep { rings[$0.slot].emptyStamp == $0.stamp }
        }
    }

    static func namespace(of name: String, in app: AppID) -> TopicKey {
        TopicKey(app: app, name: String(Substring(name.utf8.prefix { $0 != UInt8(ascii: "/") })))
    }
}

/// What became of one append to a ``TopicTable``.
package enum TopicAppended: Sendable {
    /// To be handed to those who are there.
    case stored(StoredMessage)
    /// An earlier append had the same idempotency key: the id of its message, which may be kept no longer.
    case repeated(MessageID)
    /// The idempotency key belongs to another message.
    case conflict
}

/// A message that was taken back.
package struct TopicRemoved: Equatable, Sendable {
    package var offset: UInt64
    package var outcome: RecallOutcome
}
