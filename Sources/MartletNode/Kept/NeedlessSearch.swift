package import MartletCore

/// Finds out up to where queues are needed by nobody any more, a part with each call.
///
/// Of each topic it remembers who needed what comes next when it was looked for last: as long as that one has not moved, nobody else is asked.
/// The others are asked some at a time, so that the lock is held for a moment only; no answer changes to one that needs more.
package struct NeedlessSearch {
    /// A topic of which something waits.
    private struct Waiting {
        /// The newest offset of it.
        var newest: UInt64
        /// What was found to be needless before.
        var done: UInt64 = 0
        var holder: DeviceKey?
    }

    /// A topic that is looked at, and how far.
    private struct Current {
        var topic: TopicKey
        var newest: UInt64
        var keys: [DeviceKey]
        var next = 0
        var least = UInt64.max
        var holder: DeviceKey?
    }

    private var waiting: [TopicKey: Waiting] = [:]
    /// Whether somebody has come further since the queues were looked through.
    package var isMoved = false
    private var left: [TopicKey] = []
    private var current: Current?

    package init() {}

    /// Sessions that are asked while the lock is held, and with one call in all, about.
    package static let partMost = 2_000
    package static let callMost = 40_000

    package mutating func queued(_ topic: TopicKey, offset: UInt64) {
        self.waiting[topic, default: Waiting(newest: 0)].newest = max(offset, self.waiting[topic]?.newest ?? 0)
        self.isMoved = true
    }

    /// Begins to look through all queues, if somebody has moved and the last time is over.
    package mutating func begin() {
        guard self.left.isEmpty, self.current == nil, self.isMoved else { return }
        self.isMoved = false
        self.left = Array(self.waiting.keys)
    }

    /// Goes on with one part.
    ///
    /// - Parameters:
    ///   - asked: counts who was asked.
    ///   - readers: those for whom messages of a topic wait.
    ///   - needless: up to where one of them needs nothing of a topic; nil if nothing at all.
    ///   - found: called with what nobody needs any more.
    /// - Returns: whether there is more to look at.
    package mutating func part(
        _ asked: inout Int, readers: (TopicKey) -> [DeviceKey], needless: (DeviceKey, TopicKey) -> UInt64?, found: (TopicKey, UInt64) -> Void
    ) -> Bool {
        var count = 0
        defer { asked += count }
        while count < Self.partMost {
            guard var search = self.current ?? self.next(&count, readers, needless) else { return false }
            self.current = nil
            let done = self.waiting[search.topic]?.done ?? 0
            while search.next < search.keys.count, count < Self.partMost, search.least > done {
                let key = search.keys[search.next]
                search.next += 1
                count += 1
                guard let end = needless(key, search.topic), end < search.least else { continue }
                search.least = end
                search.holder = key
            }
            guard search.next == search.keys.count || search.least <= done else {
                self.current = search
                continue
            }
            self.end(search, found)
        }
        return true
    }

    /// The next topic that has to be looked at.
    private mutating func next(
        _ count: inout Int, _ readers: (TopicKey) -> [DeviceKey], _ needless: (DeviceKey, TopicKey) -> UInt64?
    ) -> Current? {
        while let topic = self.left.popLast() {
            guard let waiting = self.waiting[topic] else { continue }
            count += 1
            if let holder = waiting.holder, let end = needless(holder, topic), end <= waiting.done { continue }
            return Current(topic: topic, newest: waiting.newest, keys: readers(topic))
        }
        return nil
    }

    private mutating func end(_ search: Current, _ found: (TopicKey, UInt64) -> Void) {
        guard var waiting = self.waiting[search.topic] else { return }
        waiting.holder = search.holder
        let end = min(search.least, search.newest)
        if end > waiting.done {
            waiting.done = end
            found(search.topic, end)
        }
        self.waiting[search.topic] = waiting.done >= waiting.newest ? nil : waiting
    }
}
