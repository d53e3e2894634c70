/// What arrived in one session, in order, and what of it was handled. The cursor is the place up to which everything was.
package struct Ledger {
    /// Ids that are kept beside a cursor, at most.
    static let aheadMost = 256

    private struct Entry {
        var cursor: String?
        var id: String?
        var isDone = false
    }

    private var entries: [Entry] = []
    /// The number of the first entry.
    private var first = 0
    /// Ids that were handled since the cursor moved: not every message has one.
    private var since: [String] = []
    package private(set) var cursor: String?

    package init(cursor: String?) { self.cursor = cursor }

    /// Adds what arrived, and returns its number.
    package mutating func add(cursor: String?, id: String?) -> Int {
        self.entries.append(Entry(cursor: cursor, id: id))
        return self.first + self.entries.count - 1
    }

    /// Marks one as handled.
    ///
    /// - Returns: whether the cursor moved.
    package mutating func done(_ number: Int) -> Bool {
        let index = number - self.first
        guard self.entries.indices.contains(index) else { return false }
        self.entries[index].isDone = true
        let before = self.cursor
        var count = 0
        while count < self.entries.count, self.entries[count].isDone {
            let entry = self.entries[count]
            if let cursor = entry.cursor {
                self.cursor = cursor
                self.since.removeAll(keepingCapacity: true)
            } else if let id = entry.id {
                self.since.append(id)
                if self.since.count > Self.aheadMost { self.since.removeFirst() }
            }
            count += 1
        }
        self.entries.removeFirst(count)
        self.first += count
        return self.cursor != before
    }

    /// Ids that were handled and lie after the cursor.
    package var ahead: [String] {
        Array((self.since + self.entries.compactMap { $0.isDone ? $0.id : nil }).suffix(Self.aheadMost))
    }

    package var count: Int { self.entries.count }
}
