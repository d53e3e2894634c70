/// Names in the order of their bytes, so that those of a range are found without a look at the others.
///
/// Runs of at most ``runNames`` names, one after the other: a name that comes or goes moves those of its run, and the runs after it.
package struct NameIndex {
    private static let runNames = 256

    /// None is empty.
    private var runs: [[String]] = []
    package private(set) var count = 0

    package init() {}

    package var isEmpty: Bool { self.count == 0 }

    /// Where a name is.
    package struct Place {
        fileprivate var run: Int
        fileprivate var index: Int
    }

    // MARK: Changes

    /// Adds a name that is not there.
    package mutating func insert(_ name: String) {
        self.count += 1
        guard !self.runs.isEmpty else { return self.runs.append([name]) }
        var place = self.place(from: name)
        if place.index == 0, place.run > 0 { place = Place(run: place.run - 1, index: self.runs[place.run - 1].count) }
        if place.run == self.runs.count { place = Place(run: place.run - 1, index: self.runs[place.run - 1].count) }
        self.runs[place.run].insert(name, at: place.index)
        guard self.runs[place.run].count > Self.runNames else { return }
        // What comes in order leaves full runs behind it.
        let isLast = place.run == self.runs.count - 1 && place.index == Self.runNames
        let kept = isLast ? Self.runNames : Self.runNames / 2
        let rest = Array(self.runs[place.run][kept...])
        self.runs[place.run].removeSubrange(kept...)
        self.runs.insert(rest, at: place.run + 1)
    }

    /// Removes a name if it is there.
    package mutating func remove(_ name: String) {
        let place = self.place(from: name)
        guard let found = self[place], isSameName(found, name) else { return }
        self.count -= 1
        self.runs[place.run].remove(at: place.index)
        let left = self.runs[place.run].count
        if left == 0 {
            self.runs.remove(at: place.run)
        } else if place.run + 1 < self.runs.count, left + self.runs[place.run + 1].count <= Self.runNames / 2 {
            self.runs[place.run] += self.runs.remove(at: place.run + 1)
        }
    }

    // MARK: Reading

    package subscript(place: Place) -> String? { place.run < self.runs.count ? self.runs[place.run][place.index] : nil }

    /// The first name that is this one or comes after it.
    package func place(from name: String) -> Place {
        self.place { !$0.utf8.lexicographicallyPrecedes(name.utf8) }
    }

    /// The first name that comes after this one.
    package func place(after name: String) -> Place {
        self.place { name.utf8.lexicographicallyPrecedes($0.utf8) }
    }

    /// The place after one where a name is.
    package func next(_ place: Place) -> Place {
        place.index + 1 < self.runs[place.run].count ? Place(run: place.run, index: place.index + 1) : Place(run: place.run + 1, index: 0)
    }

    /// - Parameter isThere: false up to somewhere, and true from there on.
    private func place(_ isThere: (String) -> Bool) -> Place {
        let run = Self.first(self.runs.count) { self.runs[$0].last.map(isThere) ?? true }
        guard run < self.runs.count else { return Place(run: run, index: 0) }
        return Place(run: run, index: Self.first(self.runs[run].count) { isThere(self.runs[run][$0]) })
    }

    private static func first(_ count: Int, where isThere: (Int) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = low + (high - low) / 2
            if isThere(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
