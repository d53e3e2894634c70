/// What an option can be set to.
package enum OptionValue: Equatable, Sendable {
    case integer(Int)
    case flag(Bool)
    case text(String)
    case list([String])
}

/// What the number of an option counts.
package enum OptionUnit: String, Sendable {
    case count = "number"
    case perSecond = "number a second"
    case bytes
    case seconds
    case milliseconds

    /// The suffixes that may follow a number, the largest first; a number without one counts in the unit itself.
    var suffixes: [(name: String, factor: Int)] {
        switch self {
        case .count, .perSecond: []
        case .bytes:
            [
                ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000),
                ("B", 1),
            ]
        case .seconds: [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
        case .milliseconds: [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
        }
    }

    /// Reads `65536`, `64KiB`, `65_536`, `30s`.
    ///
    /// - Returns: nil if it is no such text, or too large for an `Int`.
    func number(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == "_" || $0 == "-") }
        guard let number = Int(digits.filter { $0 != "_" }) else { return nil }
        let rest = text.dropFirst(digits.count).drop { $0 == " " }
        guard !rest.isEmpty else { return number }
        guard let factor = self.suffixes.first(where: { $0.name == rest })?.factor else { return nil }
        let (product, isTooLarge) = number.multipliedReportingOverflow(by: factor)
        return isTooLarge ? nil : product
    }

    /// The shortest text that ``number(_:)`` reads as `number`.
    func text(_ number: Int) -> String {
        let binary = self.suffixes.filter { !["GB", "MB", "kB"].contains($0.name) }
        guard number > 0, let suffix = binary.first(where: { number.isMultiple(of: $0.factor) }) else { return "\(number)" }
        return suffix.name == "B" ? "\(number)" : "\(number / suffix.factor)\(suffix.name)"
    }

    /// How numbers are written, for an error.
    var hint: String {
        switch self {
        case .count, .perSecond: "a whole number"
        case .bytes: "a number of bytes such as 65536, 64KiB or 8MiB"
        case .seconds: "a number of seconds such as 30, or 30s, 5m, 12h, 90d"
        case .milliseconds: "a number of milliseconds such as 500, or 500ms, 25s, 10m"
        }
    }
}
