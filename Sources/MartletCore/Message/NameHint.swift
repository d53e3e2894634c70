/// Helps with misspelt names in refusals.
package enum NameHint {
    /// A name in quotes, at most 40 characters of what somebody sent.
    package static func quoted(_ name: String) -> String {
        "\"" + String(String.UnicodeScalarView(name.unicodeScalars.prefix(40)))
            + (name.unicodeScalars.count > 40 ? "…\"" : "\"")
    }

    /// `; perhaps "x" is meant` if a known name is near, otherwise which ones there are. As the end of a sentence.
    package static func hint(_ name: String, _ known: [String]) -> String {
        let plain = Self.folded(name)
        if plain.count <= 24 {
            let near = known.map { ($0, Self.distance(plain, Self.folded($0))) }.min { $0.1 < $1.1 }
            if let near, near.1 <= max(1, near.0.utf8.count / 3), near.1 < near.0.utf8.count {
                return "; perhaps \"\(near.0)\" is meant"
            }
        }
        return ": there are " + known.joined(separator: ", ")
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
