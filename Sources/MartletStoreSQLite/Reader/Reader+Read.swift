import MartletCore

extension Reader {
    /// Places that one reading looks at, at most; then it returns a skipped place to go on from.
    private static let scanLimit = 10_000

    /// What is taken from the memtable for one lane.
    struct InMemory {
        var messages: ArraySlice<StoredMessage> = []
        var more = false
        var recalled: Set<UInt64> = []
    }

    func read(_ request: ReadRequest) throws -> ReadResult {
        defer { for place in self.places { place.reset() } }
        let limit = min(request.messages, 1 << 20) * 2 + 64
        return try self.snapshot(
            find: { () -> [Int64?] in
                var inboxes: [Int64?] = []
                for scope in Scope.allCases { inboxes.append(try request.inbox(scope).flatMap(self.inboxID)) }
                return inboxes
            },
            pick: { memtable, snapshot, inboxes in
                Lane.all.map { lane -> InMemory in
                    guard let inbox = inboxes[Int(lane.scope.rawValue)] else { return InMemory() }
                    let (found, more) = memtable.messages(
                        LaneKey(inbox, lane.priority), after: max(request.after[lane], snapshot.indexed), limit: limit)
                    return InMemory(
                        messages: found, more: more,
                        recalled: Set(found.lazy.map(\.offset).filter { memtable.isRecalled($0) }))
                }
            },
            body: { snapshot, inboxes, inMemory in try self.read(request, snapshot, inboxes, inMemory) })
    }

    private func read(
        _ request: ReadRequest, _ snapshot: Snapshot, _ inboxes: [Int64?], _ inMemory: [InMemory]
    ) throws -> ReadResult {
        var result = ReadResult(entries: [], gaps: [], more: [false, false, false], end: snapshot.end)
        var budget = ReadBudget(request)
        var scanned = 0
        var newest = NewestOfKeys(reader: self, now: request.now)
        for priority in Priority.allCases {
            var cursors: [LaneCursor] = []
            for scope in Scope.allCases {
                guard let inbox = inboxes[Int(scope.rawValue)] else { continue }
                let lane = Lane(scope, priority)
                var after = request.after[lane]
                if let upTo = try self.trimmed(inbox, priority, now: request.now, after: after) {
                    result.gaps.append(LogGap(lane: lane, from: after, to: upTo))
                    after = upTo
                }
                let memory = inMemory[lane.index]
                cursors.append(
                    try LaneCursor(
                        lane, inbox: inbox, after: after, reader: self, indexed: snapshot.indexed,
                        inMemory: memory.messages.drop { $0.offset <= after }, memoryHasMore: memory.more,
                        recalled: memory.recalled))
            }
            // Looked at only to tell whether there is anything, if something more urgent is left over.
            let isOpen = !result.more.contains(true)
            lane: while let index = Self.earliest(cursors), let place = cursors[index].next {
                scanned += 1
                let cursor = cursors[index]
                if scanned > Self.scanLimit {
                    if isOpen {
                        result.entries.append(LogEntry(lane: cursor.lane, offset: place.offset, content: .skipped))
                    }
                    result.more[Int(priority.rawValue)] = true
                    break
                }
                if let content = try newest.content(of: place, in: cursor) {
                    guard isOpen, budget.take(content, in: cursor.lane) else {
                        result.more[Int(priority.rawValue)] = true
                        break lane
                    }
                    result.entries.append(LogEntry(lane: cursor.lane, offset: place.offset, content: content))
                }
                try cursors[index].advance()
                if cursors[index].isCutOff {
                    if isOpen, result.entries.last?.offset != place.offset {
                        result.entries.append(LogEntry(lane: cursor.lane, offset: place.offset, content: .skipped))
                    }
                    result.more[Int(priority.rawValue)] = true
                    break
                }
            }
            for place in self.places { place.reset() }
        }
        return result
    }

    private static func earliest(_ cursors: [LaneCursor]) -> Int? {
        var best: Int?
        var offset = UInt64.max
        for index in cursors.indices {
            guard let place = cursors[index].next, place.offset < offset || best == nil else { continue }
            best = index
            offset = place.offset
        }
        return best
    }

    /// Up to where the inbox limit has taken messages that would not have expired yet; nil if nothing after `after`.
    private func trimmed(_ inbox: Int64, _ priority: Priority, now: Int64, after: UInt64) throws -> UInt64? {
        defer { self.trim.reset() }
        self.trim.bind(1, inbox)
        self.trim.bind(2, Int64(priority.rawValue))
        guard try self.trim.step(), self.trim.integer(1) > now else { return nil }
        let upTo = self.trim.unsigned(0)
        return upTo > after ? upTo : nil
    }
}

/// Resolves collapse keys: what stands in a place now.
struct NewestOfKeys {
    private struct Key: Hashable {
        var inbox: Int64
        var name: ExactText
    }

    private let reader: Reader
    private let now: Int64
    private var newest: [Key: UInt64] = [:]
    private var messages: [UInt64: StoredMessage?] = [:]

    init(reader: Reader, now: Int64) {
        self.reader = reader
        self.now = now
    }

    /// - Returns: nil if the place is left out.
    mutating func content(of place: LaneCursor.Place, in cursor: LaneCursor) throws -> LogEntry.Content? {
        guard !place.recalled, !place.message.isExpired(at: self.now) else { return nil }
        guard let name = place.message.collapseKey else { return .message(place.message) }
        let newest = try self.offset(Key(inbox: cursor.inbox, name: ExactText(name)))
        guard let newest, newest > place.offset else { return .message(place.message) }
        guard let message = try self.message(newest), message.priority == cursor.lane.priority else { return .skipped }
        return .message(message)
    }

    private mutating func offset(_ key: Key) throws -> UInt64? {
        if let known = self.newest[key] { return known }
        let select = self.reader.collapse
        defer { select.reset() }
        select.bind(1, key.inbox)
        select.bind(2, key.name.text)
        guard try select.step() else { return nil }
        let offset = select.unsigned(0)
        self.newest[key] = offset
        return offset
    }

    /// A message that may be sent; nil if it has expired or was recalled.
    private mutating func message(_ offset: UInt64) throws -> StoredMessage? {
        if let known = self.messages[offset] { return known }
        let select = self.reader.message
        defer { select.reset() }
        select.bind(1, offset)
        var message: StoredMessage?
        if try select.step(), select.integer(3) & (MessageFlag.recalled | MessageFlag.liveOnly) == 0,
            select.integer(5) > self.now
        {
            message = self.reader.message(
                select, Priority(rawValue: UInt8(truncatingIfNeeded: select.integer(9))) ?? .low)
        }
        self.messages[offset] = .some(message)
        return message
    }
}

/// What a reading may still return.
struct ReadBudget {
    private var counts: [Int]
    private var bytes: [Int]
    private var oversizeFirst: Bool
    private var taken: Set<UInt64> = []

    init(_ request: ReadRequest) {
        self.counts = [request.messages, request.mediumAndLow, request.low]
        self.bytes = [request.bytes, request.mediumAndLowBytes, request.lowBytes]
        self.oversizeFirst = request.oversizeFirst
    }

    /// Takes a place's content, if there is room.
    mutating func take(_ content: LogEntry.Content, in lane: Lane) -> Bool {
        guard case .message(let message) = content else { return true }
        // The newest of a key counts once, however many places of its lane it takes.
        let isKeyed = message.collapseKey != nil
        if isKeyed, self.taken.contains(message.offset << 4 | UInt64(lane.index)) { return true }
        let shares = 0...Int(lane.priority.rawValue)
        guard shares.allSatisfy({ self.counts[$0] > 0 }) else { return false }
        guard self.oversizeFirst || shares.allSatisfy({ self.bytes[$0] >= message.weight }) else { return false }
        for share in shares {
            self.counts[share] -= 1
            self.bytes[share] -= message.weight
        }
        self.oversizeFirst = false
        if isKeyed { self.taken.insert(message.offset << 4 | UInt64(lane.index)) }
        return true
    }
}
