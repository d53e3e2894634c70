/// Counts of durations, 32 steps to each power of two: a value is known within 3 %.
struct Histogram: Sendable {
    private static let steps = 32
    private static let bins = 32 * 40

    private(set) var count = 0
    /// Nanoseconds.
    private(set) var max: UInt64 = 0
    private var bins = [UInt64](repeating: 0, count: Self.bins)

    /// - Parameter value: nanoseconds.
    mutating func add(_ value: UInt64) {
        self.bins[Self.bin(value)] += 1
        self.count += 1
        if value > self.max { self.max = value }
    }

    mutating func add(_ other: Histogram) {
        for index in self.bins.indices { self.bins[index] += other.bins[index] }
        self.count += other.count
        self.max = Swift.max(self.max, other.max)
    }

    /// The value that this share of all does not pass, in nanoseconds; nil if there is none.
    func percentile(_ percent: Double) -> UInt64? {
        guard self.count > 0 else { return nil }
        let wanted = UInt64(Swift.max(1, (Double(self.count) * percent / 100).rounded(.up)))
        var seen: UInt64 = 0
        for (index, bin) in self.bins.enumerated() where bin > 0 {
            seen += bin
            if seen >= wanted { return Swift.min(Self.middle(index), self.max) }
        }
        return self.max
    }

    private static func bin(_ value: UInt64) -> Int {
        guard value >= UInt64(Self.steps) else { return Int(value) }
        let shift = 58 - value.leadingZeroBitCount
        return Swift.min(Self.bins - 1, Self.steps * (shift + 1) + Int(value >> UInt64(shift)) - Self.steps)
    }

    private static func middle(_ bin: Int) -> UInt64 {
        guard bin >= Self.steps else { return UInt64(bin) }
        let shift = UInt64(bin / Self.steps - 1)
        return UInt64(Self.steps + bin % Self.steps) << shift + (1 << shift) >> 1
    }
}

/// Which numbers of a stream came, in any order.
struct SequenceCheck: Sendable {
    /// Numbers below the highest that are remembered as missing, at most.
    private static let maxMissing = 100_000

    /// The highest that came.
    private(set) var highest = 0
    /// Different ones that came.
    private(set) var distinct = 0
    private var missing: Set<Int> = []

    /// - Parameter number: from 1 on.
    /// - Returns: whether it came for the first time.
    mutating func add(_ number: Int) -> Bool {
        if number > self.highest {
            let skipped = number - self.highest - 1
            if skipped > 0, self.missing.count + skipped <= Self.maxMissing { self.missing.formUnion((self.highest + 1)..<number) }
            self.highest = number
        } else if self.missing.remove(number) == nil {
            return false
        }
        self.distinct += 1
        return true
    }
}
