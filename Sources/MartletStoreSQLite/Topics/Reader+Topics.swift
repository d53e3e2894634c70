import MartletCore
import MartletWire
import Synchronization

extension Reader {
    /// Topics that a reading by a wildcard looks into one by one; with more it goes over the log.
    private static let topicLimit = 64
    /// Names looked at, in one reading, to find those that a filter matches.
    private static let nameLimit = 2_000
    /// A filter that is no further behind goes over the log.
    private static let nearby: UInt64 = 256
    /// Messages told by `last` at most.
    private static let lastLimit = 100_000

    /// A topic that a reading is about.
    struct TopicFound {
        var id: Int64
        var name: String
        var state: TopicState
    }

    func readTopic(_ request: TopicReadRequest) throws -> TopicSlice {
        if request.filter.isWildcard, case .after(let offset) = request.start,
            case let end = self.shared.memtable.withLock({ $0.end }), end - min(end, offset) <= Self.nearby
        {
            return try self.scan(request)
        }
        let limit = min(request.messages, 1 << 20) + 1
        let slice = try self.snapshot(
            find: { (topics: try self.topics(request), after: try self.offset(of: request.start)) },
            pick: { memtable, snapshot, found in
                found.topics?.map { topic in
                    if case .last(let count) = request.start { return memtable.last(count, of: topic.id, now: request.now) }
                    let after = max(found.after, snapshot.indexed)
                    var result = TopicInMemory(state: memtable.topics[topic.id]?.state)
                    (result.kept, result.lost) = memtable.items(of: topic.id, after: after, limit: limit, now: request.now)
                    return result
                }
            },
            body: { snapshot, found, inMemory -> TopicSlice? in
                guard let topics = found.topics, let inMemory else { return nil }
                return try self.read(request, snapshot, topics, inMemory, after: found.after)
            })
        return try slice ?? self.scan(request)
    }

    /// The topics that a request is about; nil if they are many.
    private func topics(_ request: TopicReadRequest) throws -> [TopicFound]? {
        var found: [TopicFound] = []
        guard request.filter.isWildcard else {
            let select = self.topic.topic
            defer { select.reset() }
            select.bind(1, Int64(request.app.rawValue))
            select.bind(2, request.filter.text)
            guard try select.step() else { return [] }
            return [TopicFound(id: select.integer(0), name: request.filter.text, state: TopicRow.state(select))]
        }
        let select = self.topic.topics
        defer { select.reset() }
        select.bind(1, Int64(request.app.rawValue))
        select.bind(2, request.filter.names)
        var names = 0
        while try select.step() {
            names += 1
            guard names <= Self.nameLimit, found.count < Self.topicLimit else { return nil }
            guard let name = select.text(7), request.filter.matches(name) else { continue }
            found.append(TopicFound(id: select.integer(0), name: name, state: TopicRow.state(select)))
        }
        return found
    }

    private func read(
        _ request: TopicReadRequest, _ snapshot: Snapshot, _ found: [TopicFound], _ inMemory: [TopicInMemory], after: UInt64
    ) throws -> TopicSlice {
        var refs: [TopicRef] = []
        var gaps = TopicGaps(request, floor: try self.floor(of: request.app))
        for (topic, memory) in zip(found, inMemory) {
            var state = topic.state
            if let newer = memory.state { state.merge(newer) }
            if case .last(let count) = request.start {
                let most = min(count, Self.lastLimit) - memory.kept.count
                refs += try self.lastEntries(most, of: topic.id, state, upTo: snapshot.indexed, request)
            } else {
                refs += try self.entries(of: topic.id, state, after: after, upTo: snapshot.indexed, request, &gaps)
            }
            refs += memory.kept.lazy.filter { $0.offset > max(after, state.upTo) }.map {
                TopicRef(topic: topic.id, offset: $0.offset, size: $0.weight, message: $0)
            }
            gaps.add(topic.name, max(state.lost, memory.lost, gaps.aged[topic.id] ?? 0))
        }
        if found.isEmpty { gaps.addUnknown() }
        refs.sort { $0.offset < $1.offset }
        if case .last(let count) = request.start { refs = refs.suffix(max(0, count)) }
        let names = Dictionary(uniqueKeysWithValues: found.lazy.map { ($0.id, $0.name) })
        return try self.slice(request, refs, names, gaps, start: after, end: snapshot.end, isWhole: true)
    }

    /// Loads what there is room for.
    ///
    /// - Parameters:
    ///   - end: up to here `refs` hold everything.
    ///   - isWhole: whether that is the end of the log.
    func slice(
        _ request: TopicReadRequest, _ refs: [TopicRef], _ names: [Int64: String], _ gaps: TopicGaps, start: UInt64, end: UInt64,
        isWhole: Bool
    ) throws -> TopicSlice {
        var slice = TopicSlice(entries: [], gaps: gaps.list, more: !isWhole, position: end)
        var budget = TopicBudget(request)
        var time = Int64.min
        if case .time(let wish) = request.start { time = wish }
        var position = start
        for ref in refs {
            guard let message = try ref.message ?? self.load(ref.offset) else { continue }
            if message.at < time, slice.entries.isEmpty { continue }
            guard budget.take(message.weight) else {
                slice.more = true
                slice.position = position
                break
            }
            position = ref.offset
            slice.entries.append(.init(topic: names[ref.topic] ?? "", message: message))
        }
        return slice
    }

    private func load(_ offset: UInt64) throws -> StoredMessage? {
        let select = self.topic.message
        defer { select.reset() }
        select.bind(1, offset)
        guard try select.step(), select.integer(3) & MessageFlag.recalled == 0 else { return nil }
        return self.message(select, Priority(rawValue: UInt8(truncatingIfNeeded: select.integer(9))) ?? .low)
    }

    /// What a topic keeps in the index after an offset: enough to tell whether there is more than was asked for.
    private func entries(
        of topic: Int64, _ state: TopicState, after: UInt64, upTo indexed: UInt64, _ request: TopicReadRequest, _ gaps: inout TopicGaps
    ) throws -> [TopicRef] {
        let after = max(after, state.upTo)
        guard after < indexed else { return [] }
        let select = self.topic.entries
        defer { select.reset() }
        select.bind(1, topic)
        select.bind(2, after)
        select.bind(3, indexed)
        var refs: [TopicRef] = []
        var bytes = 0
        while refs.count <= request.messages, bytes <= request.bytes || refs.count < 2, try select.step() {
            let offset = select.unsigned(0)
            switch state.fate(offset, select.integer(2), select.integer(3), request.now) {
            case .kept:
                refs.append(TopicRef(topic: topic, offset: offset, size: Int(select.integer(1))))
                bytes += Int(select.integer(1))
            case .lost: gaps.aged[topic] = offset
            case .gone: break
            }
        }
        return refs
    }

    private func lastEntries(
        _ count: Int, of topic: Int64, _ state: TopicState, upTo indexed: UInt64, _ request: TopicReadRequest
    ) throws -> [TopicRef] {
        guard count > 0, state.upTo < indexed else { return [] }
        let select = self.topic.lastEntries
        defer { select.reset() }
        select.bind(1, topic)
        select.bind(2, state.upTo)
        select.bind(3, indexed)
        var refs: [TopicRef] = []
        while refs.count < count, try select.step() {
            guard case .kept = state.fate(select.unsigned(0), select.integer(2), select.integer(3), request.now) else { continue }
            refs.append(TopicRef(topic: topic, offset: select.unsigned(0), size: Int(select.integer(1))))
        }
        return refs
    }

    func floor(of app: AppID) throws -> UInt64 {
        let select = self.topic.floor
        defer { select.reset() }
        select.bind(1, Int64(app.rawValue))
        return try select.step() ? select.unsigned(0) : 0
    }

    /// The offset after which a reading begins.
    ///
    /// By time that is before the first message with an id of this time or later: ids grow with offsets, whatever the wall clock
    /// does, and are never older than the time that a message shows.
    func offset(of start: TopicStart) throws -> UInt64 {
        let time: Int64
        switch start {
        case .after(let offset): return offset
        case .earliest, .last: return 0
        case .latest: return self.shared.memtable.withLock { $0.end }
        case .time(let wish): time = wish
        }
        defer { self.search.reset() }
        var low: UInt64 = 0
        var high = self.shared.memtable.withLock { $0.end }
        while low < high {
            let middle = low + (high - low) / 2
            self.search.reset()
            self.search.bind(1, middle + 1)
            guard try self.search.step(), MessageID(high: self.search.unsigned(1), low: 0).milliseconds < time else {
                high = middle
                continue
            }
            low = self.search.unsigned(0)
        }
        return low
    }

    func topicInfo(_ key: TopicKey, now: Int64) throws -> TopicLogInfo {
        let request = TopicReadRequest(
            app: key.app, filter: TopicFilter(topic: key.name), start: .earliest, messages: .max - 1, bytes: .max, now: now)
        return try self.snapshot(
            find: { try self.topics(request)?.first },
            pick: { memtable, snapshot, topic in
                topic.map { topic in
                    var result = TopicInMemory(state: memtable.topics[topic.id]?.state)
                    result.kept = memtable.items(of: topic.id, after: snapshot.indexed, limit: .max, now: now).kept
                    return result
                }
            },
            body: { snapshot, topic, memory in
                var info = TopicLogInfo(messages: 0, bytes: 0, first: nil, last: nil)
                guard let topic, let memory else { return info }
                var state = topic.state
                if let newer = memory.state { state.merge(newer) }
                let select = self.topic.kept
                defer { select.reset() }
                select.bind(1, topic.id)
                select.bind(2, state.upTo)
                select.bind(3, snapshot.indexed)
                select.bind(4, now)
                // Stored after this, it is not too old yet.
                select.bind(5, now - state.agedAt(0))
                if try select.step(), select.integer(0) > 0 {
                    info = TopicLogInfo(
                        messages: Int(select.integer(0)), bytes: Int(select.integer(1)), first: select.unsigned(2), last: select.unsigned(3))
                }
                for message in memory.kept where message.offset > state.upTo {
                    info.messages += 1
                    info.bytes += message.weight
                    info.first = info.first ?? message.offset
                    info.last = message.offset
                }
                return info
            })
    }

    func retained(_ request: RetainedRequest) throws -> RetainedSlice {
        let filter = request.filter
        let select = filter.isWildcard ? self.topic.retained : self.topic.oneRetained
        defer { select.reset() }
        select.bind(1, Int64(request.app.rawValue))
        if filter.isWildcard {
            var range = filter.names
            // The next that there can be.
            if let after = request.after { range.first = after + "\u{0}" }
            select.bind(2, range)
        } else {
            guard request.after == nil else { return RetainedSlice(entries: []) }
            select.bind(2, filter.text)
        }
        var entries: [TopicSlice.Entry] = []
        var bytes = 0
        var looks = 0
        var reached: String?
        while try select.step() {
            guard looks < Self.nameLimit, entries.count < request.values, bytes < request.bytes else {
                return RetainedSlice(entries: entries, reached: reached)
            }
            looks += 1
            guard let name = select.text(10) else { continue }
            if filter.matches(name), select.integer(5) > request.now {
                let message = self.message(select, Priority(rawValue: UInt8(truncatingIfNeeded: select.integer(9))) ?? .low)
                guard entries.isEmpty || bytes + message.weight <= request.bytes else { return RetainedSlice(entries: entries, reached: reached) }
                bytes += message.weight
                entries.append(.init(topic: name, message: message))
            }
            reached = name
        }
        return RetainedSlice(entries: entries)
    }
}

extension Memtable {
    fileprivate func last(_ count: Int, of topic: Int64, now: Int64) -> TopicInMemory {
        guard let lane = self.topics[topic] else { return TopicInMemory() }
        var kept: [StoredMessage] = []
        for item in lane.items.reversed() where kept.count < count {
            guard case .kept = lane.state.fate(item.message.offset, item.born, item.message.expiresAt, now) else { continue }
            kept.append(item.message)
        }
        return TopicInMemory(state: lane.state, kept: kept.reversed())
    }
}
