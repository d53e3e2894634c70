import MartletCore
import MartletWire

extension MemoryTables {
    /// Places that cost nothing in the window and are returned by one read at most.
    private static let skippedLimit = 512

    func read(_ request: ReadRequest) -> ReadResult {
        var budget = ReadBudget(request)
        var result = ReadResult(entries: [], gaps: [], more: [false, false, false], end: self.end)
        var isFull = false
        var skipped = 0
        for priority in Priority.allCases {
            var cursors = self.cursors(request, priority)
            for cursor in cursors where cursor.inbox.trimmedTo[Int(priority.rawValue)] > request.after[cursor.lane] {
                result.gaps.append(
                    .init(
                        lane: cursor.lane, from: request.after[cursor.lane],
                        to: cursor.inbox.trimmedTo[Int(priority.rawValue)]))
            }
            while let next = cursors.indices.filter({ cursors[$0].offset != nil }).min(by: { cursors[$0].offset ?? 0 < cursors[$1].offset ?? 0 }),
                let offset = cursors[next].offset
            {
                guard let content = self.content(offset, in: cursors[next].inbox, now: request.now) else {
                    cursors[next].index += 1
                    continue
                }
                if !isFull {
                    switch content {
                    case .skipped:
                        skipped += 1
                        isFull = skipped > Self.skippedLimit
                    case .message(let message):
                        isFull = !budget.take(message)
                    }
                }
                if isFull {
                    result.more[Int(priority.rawValue)] = true
                    break
                }
                result.entries.append(.init(lane: cursors[next].lane, offset: offset, content: content))
                cursors[next].index += 1
            }
        }
        return result
    }

    /// What stands at a place; nil if it is left out.
    private func content(_ offset: UInt64, in inbox: MemoryInbox, now: Int64) -> LogEntry.Content? {
        guard let row = self.rows[offset], row.isAlive(at: now) else { return nil }
        guard let key = row.message.collapseKey, let newest = inbox.newest[ExactText(key)], newest != offset else {
            return .message(row.message)
        }
        guard let other = self.rows[newest], other.message.priority == row.message.priority, other.isAlive(at: now) else {
            return .skipped
        }
        return .message(other.message)
    }

    private struct LaneCursor {
        var lane: Lane
        var inbox: MemoryInbox
        var index: Int
        var offset: UInt64? {
            let places = self.inbox.lanes[Int(self.lane.priority.rawValue)]
            return self.index < places.count ? places[self.index] : nil
        }
    }

    private func cursors(_ request: ReadRequest, _ priority: Priority) -> [LaneCursor] {
        Scope.allCases.compactMap { scope in
            guard let key = request.inbox(scope), let inbox = self.inboxes[key] else { return nil }
            let lane = Lane(scope, priority)
            let index = inbox.firstIndex(after: request.after[lane], priority: Int(priority.rawValue))
            return LaneCursor(lane: lane, inbox: inbox, index: index)
        }
    }
}

/// What one read may still return.
private struct ReadBudget {
    /// In total, of medium and low, of low.
    var messages: [Int]
    var bytes: [Int]
    var mayBeLarger: Bool
    /// What took several places counts once.
    private var counted: Set<UInt64> = []

    init(_ request: ReadRequest) {
        self.messages = [request.messages, request.mediumAndLow, request.low]
        self.bytes = [request.bytes, request.mediumAndLowBytes, request.lowBytes]
        self.mayBeLarger = request.oversizeFirst
    }

    mutating func take(_ message: StoredMessage) -> Bool {
        if self.counted.contains(message.offset) { return true }
        let shares = 0...Int(message.priority.rawValue)
        let fits = shares.allSatisfy { self.messages[$0] > 0 && (self.bytes[$0] >= message.weight || self.mayBeLarger) }
        guard fits else { return false }
        for share in shares {
            self.messages[share] -= 1
            self.bytes[share] -= message.weight
        }
        self.mayBeLarger = false
        if message.collapseKey != nil { self.counted.insert(message.offset) }
        return true
    }
}
