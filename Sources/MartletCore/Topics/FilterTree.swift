/// The filters with wildcards of a ``FilterTrie``, as a tree of levels, each end of a filter with an index.
///
/// The nodes lie in one array and refer to each other by index. The children of a node by name are found in one hash table for the
/// whole tree, whose keys are a node and the bytes of a level: so looking needs no text of its own.
package struct FilterTree: Sendable {
    private struct Node: Sendable {
        var parent: Int32
        /// Of the parent and the level, for those that are in the table.
        var hash: Int
        var level: Level
        var plus: Int32 = -1
        var rest: Int32 = -1
        /// Those by name, `+` and `#`.
        var children: Int32 = 0
        var isEnd = false
    }

    private enum Level: Sendable {
        case name([UInt8])
        case plus
        case rest
        /// The root, or a node that may be used again.
        case none
    }

    /// The first is the root, if there is any.
    private var nodes: [Node] = []
    private var free: [Int32] = []
    /// Indices of nodes, by their hash; -1 for none. Open addressing, at most half full, its size a power of two.
    private var table: [Int32] = []
    private var named = 0

    package init() {}

    /// Every index is below.
    package var capacity: Int { self.nodes.count }

    // MARK: Changes

    /// The index of a filter that was added.
    package func find(_ filter: String) -> Int? {
        guard !self.nodes.isEmpty else { return nil }
        return withBytes(of: filter) { bytes in
            var node = 0
            var at = 0
            while at <= bytes.count {
                let end = levelEnd(bytes, from: at)
                guard let next = self.child(of: node, bytes, at, end) else { return nil }
                node = next
                at = end + 1
            }
            return self.nodes[node].isEnd ? node : nil
        }
    }

    /// Adds a filter.
    ///
    /// - Returns: its index; that which it had, if it was there.
    package mutating func add(_ filter: String) -> Int {
        if self.nodes.isEmpty { self.nodes.append(Node(parent: -1, hash: 0, level: .none)) }
        return withBytes(of: filter) { bytes in
            var node = 0
            var at = 0
            while at <= bytes.count {
                let end = levelEnd(bytes, from: at)
                node = self.child(of: node, bytes, at, end) ?? self.makeChild(of: node, bytes, at, end)
                at = end + 1
            }
            self.nodes[node].isEnd = true
            return node
        }
    }

    /// Removes the filter with this index.
    package mutating func remove(_ index: Int) {
        self.nodes[index].isEnd = false
        var at = index
        while at > 0, !self.nodes[at].isEnd, self.nodes[at].children == 0 {
            let parent = Int(self.nodes[at].parent)
            switch self.nodes[at].level {
            case .name: self.takeFromTable(at)
            case .plus: self.nodes[parent].plus = -1
            case .rest: self.nodes[parent].rest = -1
            case .none: break
            }
            self.nodes[parent].children -= 1
            self.nodes[at].level = .none
            self.free.append(Int32(truncatingIfNeeded: at))
            at = parent
        }
    }

    /// Gives memory back when most nodes are gone.
    ///
    /// - Returns: where each end of a filter went; nil if nothing was done.
    package mutating func compactIfSparse() -> [(old: Int, new: Int)]? {
        let used = self.nodes.count - self.free.count
        if used == 1 {
            self = FilterTree()
            return []
        }
        guard self.nodes.count > 64, used < self.nodes.count / 8 else { return nil }
        var smaller = FilterTree()
        smaller.nodes.reserveCapacity(used * 2)
        var moved: [(old: Int, new: Int)] = []
        for (index, node) in self.nodes.enumerated() where node.isEnd {
            moved.append((index, smaller.add(self.filter(at: index))))
        }
        self = smaller
        return moved
    }

    private func filter(at index: Int) -> String {
        var levels: [[UInt8]] = []
        var at = index
        while at > 0 {
            switch self.nodes[at].level {
            case .name(let name): levels.append(name)
            case .plus: levels.append([UInt8(ascii: "+")])
            case .rest: levels.append([UInt8(ascii: "#")])
            case .none: break
            }
            at = Int(self.nodes[at].parent)
        }
        return String(decoding: Array(levels.reversed().joined(separator: [UInt8(ascii: "/")])), as: UTF8.self)
    }

    // MARK: Looking

    /// Calls `body` with the index of every filter that matches a topic.
    package func visit(_ topic: String, _ body: (Int) -> Void) {
        guard !self.nodes.isEmpty else { return }
        withBytes(of: topic) { self.visit($0, from: 0, node: 0, body) }
    }

    private func visit(_ topic: UnsafeBufferPointer<UInt8>, from start: Int, node first: Int, _ body: (Int) -> Void) {
        var index = first
        var at = start
        // The branch by name is walked here, the one of `+` by a call of its own.
        while true {
            let (plus, rest) = (self.nodes[index].plus, self.nodes[index].rest)
            let areWildcardsMeant = index > 0 || topic.first != UInt8(ascii: "$")
            if rest >= 0, areWildcardsMeant { body(Int(rest)) }
            guard at <= topic.count else {
                if self.nodes[index].isEnd { body(index) }
                return
            }
            let end = levelEnd(topic, from: at)
            if plus >= 0, areWildcardsMeant { self.visit(topic, from: end + 1, node: Int(plus), body) }
            guard let next = self.child(of: index, named: UnsafeBufferPointer(rebasing: topic[at..<end])) else { return }
            index = next
            at = end + 1
        }
    }

    private func child(of node: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Int? {
        if end - start == 1, bytes[start] == UInt8(ascii: "+") {
            return self.nodes[node].plus < 0 ? nil : Int(self.nodes[node].plus)
        }
        if end - start == 1, bytes[start] == UInt8(ascii: "#") {
            return self.nodes[node].rest < 0 ? nil : Int(self.nodes[node].rest)
        }
        return self.child(of: node, named: UnsafeBufferPointer(rebasing: bytes[start..<end]))
    }

    private func child(of node: Int, named level: UnsafeBufferPointer<UInt8>) -> Int? {
        guard self.named > 0 else { return nil }
        let hash = Self.hash(node, level)
        var slot = hash & (self.table.count - 1)
        while self.table[slot] >= 0 {
            let index = Int(self.table[slot])
            if self.nodes[index].hash == hash, self.nodes[index].parent == node, case .name(let name) = self.nodes[index].level,
                name.elementsEqual(level)
            {
                return index
            }
            slot = (slot + 1) & (self.table.count - 1)
        }
        return nil
    }

    /// Keyed by the process: whoever chooses names cannot choose where they collide.
    private static func hash(_ node: Int, _ level: UnsafeBufferPointer<UInt8>) -> Int {
        var hasher = Hasher()
        hasher.combine(node)
        hasher.combine(bytes: UnsafeRawBufferPointer(level))
        return hasher.finalize()
    }

    // MARK: Nodes and table

    private mutating func makeChild(of node: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        let level = UnsafeBufferPointer(rebasing: bytes[start..<end])
        let isOne = end - start == 1
        var child = Node(parent: Int32(truncatingIfNeeded: node), hash: 0, level: .rest)
        if isOne, bytes[start] == UInt8(ascii: "+") {
            child.level = .plus
        } else if !isOne || bytes[start] != UInt8(ascii: "#") {
            child.level = .name(Array(level))
            child.hash = Self.hash(node, level)
        }
        let index: Int
        if let used = self.free.popLast() {
            index = Int(used)
            self.nodes[index] = child
        } else {
            index = self.nodes.count
            self.nodes.append(child)
        }
        self.nodes[node].children += 1
        switch child.level {
        case .name: self.putIntoTable(index)
        case .plus: self.nodes[node].plus = Int32(truncatingIfNeeded: index)
        case .rest: self.nodes[node].rest = Int32(truncatingIfNeeded: index)
        case .none: break
        }
        return index
    }

    private mutating func putIntoTable(_ index: Int) {
        self.named += 1
        if self.named * 2 > self.table.count {
            let old = self.table
            self.table = Array(repeating: -1, count: max(16, old.count * 2))
            for entry in old where entry >= 0 { self.place(Int(entry)) }
        }
        self.place(index)
    }

    private mutating func place(_ index: Int) {
        var slot = self.nodes[index].hash & (self.table.count - 1)
        while self.table[slot] >= 0 { slot = (slot + 1) & (self.table.count - 1) }
        self.table[slot] = Int32(truncatingIfNeeded: index)
    }

    /// Takes an entry out, and moves those after it that could not be found any more over the hole.
    private mutating func takeFromTable(_ index: Int) {
        let mask = self.table.count - 1
        var hole = self.nodes[index].hash & mask
        while self.table[hole] != index { hole = (hole + 1) & mask }
        var slot = hole
        while true {
            slot = (slot + 1) & mask
            guard self.table[slot] >= 0 else { break }
            let home = self.nodes[Int(self.table[slot])].hash & mask
            // Whether the hole lies on its way from home to where it is.
            guard (slot - home) & mask >= (slot - hole) & mask else { continue }
            self.table[hole] = self.table[slot]
            hole = slot
        }
        self.table[hole] = -1
        self.named -= 1
    }
}
