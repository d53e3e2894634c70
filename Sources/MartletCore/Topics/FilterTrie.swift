/// Values by topic filter, found by the topics that the filters match.
///
/// Finding takes time by the levels of the topic, not by the number of filters: filters without wildcards are one look in a hash
/// table, the others a walk in which each level has at most two branches (its name and `+`) of those that there are.
/// When most has been removed, the memory is given back.
package struct FilterTrie<Value> {
    @usableFromInline
    package var exact: [TopicFilter: Value] = [:]
    @usableFromInline
    package var tree = FilterTree()
    /// By the tree's index of a filter; nil for those that are no end of a filter.
    @usableFromInline
    package var wild: [Value?] = []
    @usableFromInline
    package var wildCount = 0

    @inlinable
    package init() {}

    /// Filters that have a value.
    @inlinable
    package var count: Int { self.exact.count + self.wildCount }

    @inlinable
    package var isEmpty: Bool { self.count == 0 }

    /// The value of one filter; nil removes it.
    @inlinable
    package subscript(filter: TopicFilter) -> Value? {
        get {
            guard filter.isWildcard else { return self.exact[filter] }
            return self.tree.find(filter.text).flatMap { self.wild[$0] }
        }
        set { self.update(filter) { $0 = newValue } }
    }

    /// Sets a filter's value.
    ///
    /// - Returns: the one that it had.
    @inlinable
    @discardableResult
    package mutating func insert(_ value: Value, for filter: TopicFilter) -> Value? {
        self.update(filter) { slot in
            let before = slot
            slot = value
            return before
        }
    }

    /// - Returns: the value that the filter had.
    @inlinable
    @discardableResult
    package mutating func remove(_ filter: TopicFilter) -> Value? {
        self.update(filter) { $0.take() }
    }

    /// Changes a filter's value in place: nil before if it has none, nil afterwards removes it.
    @inlinable
    package mutating func update<Result>(_ filter: TopicFilter, _ body: (inout Value?) -> Result) -> Result {
        guard filter.isWildcard else {
            let result = body(&self.exact[filter])
            self.exact.shrinkIfSparse()
            return result
        }
        guard let index = self.tree.find(filter.text) else {
            var value: Value?
            let result = body(&value)
            if let value { self.add(value, filter.text) }
            return result
        }
        let had = self.wild[index] != nil
        let result = body(&self.wild[index])
        if had, self.wild[index] == nil {
            self.wildCount -= 1
            self.tree.remove(index)
            self.compactIfSparse()
        }
        return result
    }

    /// Calls `body` with the value of every filter that matches a topic, in no particular order.
    @inlinable
    package func visit(_ topic: String, _ body: (Value) -> Void) {
        if !self.exact.isEmpty, let value = self.exact[TopicFilter(topic: topic)] { body(value) }
        guard self.wildCount > 0 else { return }
        self.tree.visit(topic) { index in
            if let value = self.wild[index] { body(value) }
        }
    }

    /// Calls `body` with every filter's value.
    @inlinable
    package func visitAll(_ body: (Value) -> Void) {
        for value in self.exact.values { body(value) }
        for case let value? in self.wild { body(value) }
    }

    @usableFromInline
    package mutating func add(_ value: Value, _ text: String) {
        let index = self.tree.add(text)
        while self.wild.count < self.tree.capacity { self.wild.append(nil) }
        self.wild[index] = value
        self.wildCount += 1
    }

    @usableFromInline
    package mutating func compactIfSparse() {
        guard let moved = self.tree.compactIfSparse() else { return }
        var values = [Value?](repeating: nil, count: self.tree.capacity)
        for (old, new) in moved { values[new] = self.wild[old] }
        self.wild = values
    }
}

extension FilterTrie: Sendable where Value: Sendable {}

extension Dictionary {
    /// Gives memory back when most of the entries are gone, which a dictionary never does by itself.
    @inlinable
    package mutating func shrinkIfSparse() {
        guard self.capacity > 64, self.count < self.capacity / 8 else { return }
        var smaller: Self = [:]
        smaller.reserveCapacity(self.count * 2)
        for (key, value) in self { smaller[key] = value }
        self = smaller
    }
}
