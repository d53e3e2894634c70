/// What arrived in one session, in order, and what of it was handled. The cursor is the place up to which everything was.
///
/// Neighbours that were handled become one entry, so that one message that is held for long costs no memory for those after it.
package struct Ledger {
    /// Ids that are kept beside a cursor, at most.
    static let aheadMost = 256

    private struct Entry {
        /// Of the last message in it.
        var number: Int
        var cursor: String?
        /// The last of those in it.
        var ids: [String] = []
        /// Those of them that came after the cursor.
        var tail: [String] = []
        var isDone = false

        init(number: Int, cursor: String?, id: String?) {
            self.number = number
            self.cursor = cursor
            guard let id else { return }
            self.ids = [id]
            if cursor == nil { self.tail = [id] }
        }

        mutating func append(_ next: Entry) {
            self.number = next.number
            self.ids = Array((self.ids + next.ids).suffix(Ledger.aheadMost))
            self.tail = next.cursor == nil ? Array((self.tail + next.tail).suffix(Ledger.aheadMost)) : next.tail
            self.cursor = next.cursor ?? self.cursor
        }
    }

    private var entries: [Entry] = []
    private var lastNumber = 0
    /// Ids that were handled since the cursor moved: not every message has one.
    private var since: [String] = []
    package private(set) var cursor: String?

    package init(cursor: String?) { self.cursor = cursor }

    /// Adds what arrived, and returns its number.
    package mutating func add(cursor: String?, id: String?) -> Int {
        self.lastNumber += 1
        self.entries.append(Entry(number: self.lastNumber, cursor: cursor, id: id))
        return self.lastNumber
    }

    /// Marks one as handled.
    ///
    /// - Returns: whether the cursor moved.
    package mutating func done(_ number: Int) -> Bool {
        var index = self.index(of: number)
        guard index < self.entries.count, self.entries[index].number == number, !self.entries[index].isDone else { return false }
        self.entries[index].isDone = true
        if index > 0, self.entries[index - 1].isDone {
            self.entries[index - 1].append(self.entries.remove(at: index))
            index -= 1
        }
        if index + 1 < self.entries.count, self.entries[index + 1].isDone { self.entries[index].append(self.entries.remove(at: index + 1)) }
        guard let first = self.entries.first, first.isDone else { return false }
        self.entries.removeFirst()
        let before = self.cursor
        self.since = first.cursor == nil ? Array((self.since + first.tail).suffix(Self.aheadMost)) : first.tail
        self.cursor = first.cursor ?? self.cursor
        return self.cursor != before
    }

    /// The first entry that does not end before this number.
    private func index(of number: Int) -> Int {
        var (low, high) = (0, self.entries.count)
        while low < high {
            let middle = (low + high) / 2
            if self.entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Ids that were handled and lie after the cursor.
    package var ahead: [String] { Array((self.since + self.entries.flatMap { $0.isDone ? $0.ids : [] }).suffix(Self.aheadMost)) }

    package var count: Int { self.entries.count }
}
