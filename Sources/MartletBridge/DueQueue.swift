/// What is due when: a binary heap. What became of an entry meanwhile is for who takes it to know.
struct DueQueue<Key> {
    struct Entry {
        var due: Int64
        var key: Key
    }

    private var entries: [Entry] = []

    var first: Entry? { self.entries.first }
    var count: Int { self.entries.count }

    mutating func add(_ key: Key, due: Int64) {
        self.entries.append(Entry(due: due, key: key))
        var child = self.entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.entries[child].due < self.entries[parent].due else { return }
            self.entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() {
        guard let last = self.entries.popLast(), !self.entries.isEmpty else { return }
        self.entries[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.entries.count && self.entries[child].due < self.entries[least].due {
                least = child
            }
            guard least != parent else { return }
            self.entries.swapAt(parent, least)
            parent = least
        }
    }
}
