/// Finds what somebody meant to type.
enum NearestName {
    /// The most similar of the names, if any is similar enough to be meant.
    static func of(_ text: String, among names: some Sequence<String>) -> String? {
        let typed = Array(text.lowercased().utf8)
        var best: (name: String, distance: Int)?
        for name in names {
            // The last part alone is what one writes who forgot the section.
            if name.split(separator: ".").last.map({ $0 == text }) == true { return name }
            let distance = self.distance(typed, Array(name.lowercased().utf8))
            if distance < best?.distance ?? .max { best = (name, distance) }
        }
        guard let best, best.distance <= max(2, typed.count / 3) else { return nil }
        return best.name
    }

    /// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other (optimal string alignment).
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var cost = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
