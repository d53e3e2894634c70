/// What is read of topics. Reads change nothing that a later one could tell; they let go of what has become too old, so that they tell of it.
extension TopicTable {
    /// Reads the messages of one topic, or of all that match a filter, in the order of their offsets.
    ///
    /// A read of a filter with wildcards that does not return everything may tell of a gap that the next read tells of again, from where it
    /// goes on.
    package mutating func read(_ request: TopicReadRequest) -> TopicSlice {
        if case .after(let offset) = request.start, let slice = self.readNewest(request, after: offset) { return slice }
        let slots = self.slots(matching: request.filter, app: request.app)
        for slot in slots { self.trimFront(slot, now: request.now) }
        let after = self.offset(of: request.start, slots: slots, now: request.now)
        var slice = TopicSlice(entries: [], gaps: [], more: false, position: self.end)
        if case .after = request.start { slice.gaps = self.gaps(request, slots: slots, after: after) }
        var heads = TopicHeads(isDescending: false)
        for slot in slots {
            let index = self.rings[slot].firstIndex(after: after)
            if let item = self.rings[slot].items[index] { heads.insert(.init(offset: item.message.offset, slot: slot, index: index)) }
        }
        var budget = TopicBudget(request)
        while let head = heads.first, let item = self.rings[head.slot].items[head.index] {
            if !item.message.isExpired(at: request.now) {
                guard budget.take(item.message) else {
                    slice.more = true
                    slice.position = slice.entries.last?.message.offset ?? after
                    break
                }
                slice.entries.append(.init(topic: self.rings[head.slot].key.name, message: item.message))
            }
            heads.replaceFirst(with: self.rings[head.slot].items[head.index + 1]?.message.offset, step: 1)
        }
        return slice
    }

    /// The first names of topics that match a filter and have a retained value, in the order of their bytes.
    ///
    /// - Parameters:
    ///   - after: the name after which they begin; nil for the first.
    ///   - limit: names that may be returned.
    ///   - looks: names that may be looked at, so that a filter that matches few of many keeps nobody waiting.
    package func retainedNames(_ filter: TopicFilter, app: AppID, after: String?, limit: Int, looks: Int) -> RetainedNames {
        var page = RetainedNames()
        guard let names = self.retainedNames[app] else { return page }
        let range = filter.names
        var place =
            after.map { $0.utf8.lexicographicallyPrecedes(range.first.utf8) ? names.place(from: range.first) : names.place(after: $0) }
            ?? names.place(from: range.first)
        var last = after
        while let name = names[place] {
            if let end = range.end, !name.utf8.lexicographicallyPrecedes(end.utf8) { break }
            guard page.names.count < limit, page.looks < looks else {
                page.reached = last
                break
            }
            page.looks += 1
            if filter.matches(name) { page.names.append(name) }
            last = name
            place = names.next(place)
        }
        return page
    }

    /// The retained value of a topic.
    package func retained(_ name: String, app: AppID, now: Int64) -> StoredMessage? {
        guard !self.retainedNames.isEmpty, let slot = self.slots[TopicKey(app: app, name: name)] else { return nil }
        return self.rings[slot].retained.flatMap { $0.isExpired(at: now) ? nil : $0 }
    }

    /// What is kept of a topic.
    package mutating func info(_ key: TopicKey, now: Int64) -> TopicLogInfo {
        if let slot = self.slots[key] { self.sweep(slot, now: now) }
        guard let slot = self.slots[key] else { return TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil) }
        let items = self.rings[slot].items
        return TopicLogInfo(
            messages: items.count, bytes: self.rings[slot].bytes, first: items.first?.message.offset, last: items.last?.message.offset)
    }

    // MARK: Pieces of a read

    private func slots(matching filter: TopicFilter, app: AppID) -> [Int] {
        guard filter.isWildcard else { return self.slots[TopicKey(app: app, name: filter.text)].map { [$0] } ?? [] }
        let namespace = Self.namespace(of: filter.text, in: app)
        if namespace.name != "+", namespace.name != "#" {
            return (self.namespaces[namespace] ?? []).filter { filter.matches(self.rings[$0].key.name) }
        }
        return self.rings.indices.filter { slot in
            let ring = self.rings[slot]
            return !ring.isFree && ring.key.app == app && filter.matches(ring.key.name)
        }
    }

    /// How many topics ``slots(matching:app:)`` would look at.
    private func width(of filter: TopicFilter, app: AppID) -> Int {
        let namespace = Self.namespace(of: filter.text, in: app)
        return namespace.name == "+" || namespace.name == "#" ? self.rings.count : self.namespaces[namespace]?.count ?? 0
    }

    /// The offset after which a read begins.
    private func offset(of start: TopicStart, slots: [Int], now: Int64) -> UInt64 {
        switch start {
        case .latest: return self.end
        case .earliest: return 0
        case .after(let offset): return offset
        case .time(let time):
            var first = self.end
            for slot in slots {
                for index in 0..<self.rings[slot].items.count {
                    guard let message = self.rings[slot].items[index]?.message, message.offset <= first else { break }
                    guard message.at >= time, !message.isExpired(at: now) else { continue }
                    first = message.offset - 1
                    break
                }
            }
            return first
        case .last(let count):
            var heads = TopicHeads(isDescending: true)
            for slot in slots {
                if let last = self.rings[slot].items.last {
                    heads.insert(.init(offset: last.message.offset, slot: slot, index: self.rings[slot].items.count - 1))
                }
            }
            var left = count
            var first = self.end
            while left > 0, let head = heads.first, let message = self.rings[head.slot].items[head.index]?.message {
                if !message.isExpired(at: now) {
                    first = message.offset - 1
                    left -= 1
                }
                let next = head.index > 0 ? self.rings[head.slot].items[head.index - 1]?.message.offset : nil
                heads.replaceFirst(with: next, step: -1)
            }
            return first
        }
    }

    private func gaps(_ request: TopicReadRequest, slots: [Int], after: UInt64) -> [TopicGap] {
        guard after < max(self.newestTrim, self.floor) else { return [] }
        var gaps: [TopicGap] = []
        let unknown = request.filter.isWildcard || slots.isEmpty ? self.floor : self.rings[slots[0]].unknownUpTo
        if after < unknown, request.filter.isWildcard || slots.isEmpty || self.rings[slots[0]].trimmedUpTo < unknown {
            gaps.append(TopicGap(topic: request.filter.text, reason: .trimmed, from: after, to: unknown))
        }
        for slot in slots where after < self.rings[slot].trimmedUpTo {
            gaps.append(TopicGap(topic: self.rings[slot].key.name, reason: .trimmed, from: after, to: self.rings[slot].trimmedUpTo))
        }
        return gaps
    }

    /// Reads a filter with wildcards by going through the newest messages of all topics, if these are fewer than the topics to look at.
    ///
    /// - Returns: nil if it is better to look at the topics, or if one may have lost something.
    private func readNewest(_ request: TopicReadRequest, after: UInt64) -> TopicSlice? {
        guard request.filter.isWildcard, after >= max(self.newestTrim, self.floor) else { return nil }
        let places = self.shares[request.app]?.places ?? TopicQueue()
        var index = places.firstIndex { $0.offset > after }
        guard places.count - index <= self.width(of: request.filter, app: request.app) else { return nil }
        var slice = TopicSlice(entries: [], gaps: [], more: false, position: self.end)
        var budget = TopicBudget(request)
        while let place = places[index] {
            index += 1
            let ring = self.rings[Int(place.slot)]
            guard !ring.isFree, request.filter.matches(ring.key.name), let found = ring.index(of: place.offset),
                let item = ring.items[found]
            else { continue }
            if item.message.isExpired(at: request.now) { continue }
            if ring.isTooOld(item, now: request.now) { return nil }
            guard budget.take(item.message) else {
                slice.more = true
                slice.position = slice.entries.last?.message.offset ?? after
                break
            }
            slice.entries.append(.init(topic: ring.key.name, message: item.message))
        }
        return slice
    }
}

/// Some of the topics that match a filter and have a retained value.
package struct RetainedNames: Sendable {
    package var names: [String] = []
    /// Up to where was looked, with ``names`` among it; nil if that was the end.
    package var reached: String?
    /// Names that were looked at.
    package var looks = 0

    package init() {}
}

/// What one read may still return.
private struct TopicBudget {
    private var messages: Int
    private var bytes: Int
    private var isFirst = true

    init(_ request: TopicReadRequest) {
        self.messages = request.messages
        self.bytes = request.bytes
    }

    mutating func take(_ message: StoredMessage) -> Bool {
        guard self.messages > 0, self.isFirst || message.weight <= self.bytes else { return false }
        self.messages -= 1
        self.bytes -= message.weight
        self.isFirst = false
        return true
    }
}

/// Where several topics are read at once: a binary heap by offset.
private struct TopicHeads {
    struct Head {
        var offset: UInt64
        var slot: Int
        var index: Int
    }

    private var heads: [Head] = []
    private let isDescending: Bool

    init(isDescending: Bool) { self.isDescending = isDescending }

    var first: Head? { self.heads.first }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        self.isDescending ? self.heads[left].offset > self.heads[right].offset : self.heads[left].offset < self.heads[right].offset
    }

    mutating func insert(_ head: Head) {
        self.heads.append(head)
        var child = self.heads.count - 1
        while child > 0, self.isBefore(child, (child - 1) / 2) {
            self.heads.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Goes on in the topic that comes first.
    ///
    /// - Parameters:
    ///   - offset: of its next message; nil if it has no more.
    ///   - step: from the message's place to that of the next.
    mutating func replaceFirst(with offset: UInt64?, step: Int) {
        guard !self.heads.isEmpty else { return }
        if let offset {
            self.heads[0].offset = offset
            self.heads[0].index += step
        } else {
            self.heads.swapAt(0, self.heads.count - 1)
            self.heads.removeLast()
        }
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.heads.count && self.isBefore(child, least) { least = child }
            guard least != parent else { return }
            self.heads.swapAt(parent, least)
            parent = least
        }
    }
}
