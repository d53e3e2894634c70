/// The last ids that were seen, up to a number of them; the oldest is forgotten first.
package struct Recent {
    private var places: [String: Int] = [:]
    private var ring: [(id: String, topic: String?)?]
    private var next = 0

    /// - Parameter most: ids that are remembered, at least 1.
    package init(most: Int) { self.ring = Array(repeating: nil, count: max(1, most)) }

    package func contains(_ id: String) -> Bool { self.places[id] != nil }

    /// - Parameter topic: where it came from, for ``forget(where:)``.
    package mutating func insert(_ id: String, topic: String? = nil) {
        guard self.places[id] == nil else { return }
        if let oldest = self.ring[self.next] { self.places[oldest.id] = nil }
        self.ring[self.next] = (id, topic)
        self.places[id] = self.next
        self.next = (self.next + 1) % self.ring.count
    }

    /// Forgets ids of topics: somebody wants their messages from the beginning.
    package mutating func forget(where isMeant: (_ topic: String) -> Bool) {
        for index in self.ring.indices {
            guard let entry = self.ring[index], let topic = entry.topic, isMeant(topic) else { continue }
            self.places[entry.id] = nil
            self.ring[index] = nil
        }
    }
}
