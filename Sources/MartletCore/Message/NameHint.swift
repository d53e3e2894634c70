/// Helps with misspelt names in refusals.
package enum NameHint {
    /// A name in quotes, at most 40 characters of what somebody sent.
    package static func quoted(_ name: String) -> String {
        "\"" + String(String.UnicodeScalarView(name.unicodeScalars.prefix(40)))
            + (name.unicodeScalars.count > 40 ? "…\"" : "\"")
    }

    /// `; perhaps "x" is meant` if a known name is near, otherwise which ones there are. As the end of a sentence.
    package static func hint(_ name: String, _ known: [String]) -> String {
        if let near = Self.nearest(name, among: known) { return "; perhaps \"\(near)\" is meant" }
        return ": there are " + known.joined(separator: ", ")
    }

    /// The known name that is most similar, whatever the case, dashes and underscores; nil if none is similar enough to be meant.
    ///
    /// The last part of a name with dots is near enough: it is what one writes who forgot the section.
    package static func nearest(_ name: String, among known: [String]) -> String? {
        let typed = Self.folded(name)
        var best: (name: String, distance: Int)?
        for candidate in known {
            let folded = Self.folded(candidate)
            if folded.split(separator: UInt8(ascii: ".")).last?.elementsEqual(typed) == true { return candidate }
            // So many must change at least. It also bounds the work for a name that a stranger sent.
            let most = max(1, folded.count / 3)
            guard abs(typed.count - folded.count) <= most else { continue }
            let distance = Self.distance(typed, folded)
            if distance <= most, distance < folded.count, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Without case, dashes and underscores.
    private static func folded(_ name: String) -> [UInt8] {
        name.utf8.filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }.map {
            $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") ? $0 + 32 : $0
        }
    }

    /// How many bytes must be inserted, deleted, replaced or swapped with their neighbour.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var before: [Int] = []
        var previous = Array(0...right.count)
        for (row, a) in left.enumerated() {
            var current = [row + 1]
            for (column, b) in right.enumerated() {
                var cost = min(previous[column] + (a == b ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, a == right[column - 1], left[row - 1] == b {
                    cost = min(cost, before[column - 1] + 1)
                }
                current.append(cost)
            }
            (before, previous) = (previous, current)
        }
        return previous.last ?? left.count
    }
}
