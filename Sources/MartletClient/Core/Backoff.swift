/// Pauses before trying again: any time up to a bound that doubles (full jitter), so that clients that were cut off together do not
/// come back together.
package struct Backoff: Sendable {
    private let base: Double
    private let most: Double
    private let random: @Sendable (Double) -> Double
    package private(set) var failures = 0

    /// - Parameters:
    ///   - retry: the bounds.
    ///   - random: a number from 0 up to the given one.
    package init(_ retry: MartletOptions.Retry, random: @escaping @Sendable (Double) -> Double = { Double.random(in: 0...$0) }) {
        self.base = max(0.001, retry.base)
        self.most = max(self.base, retry.most)
        self.random = random
    }

    package mutating func reset() { self.failures = 0 }

    /// The next pause, in milliseconds.
    ///
    /// - Parameter least: what the server asked for; the random part comes on top.
    package mutating func next(least: Int64 = 0) -> Int64 {
        let bound = min(self.most, self.base * Double(UInt64(1) << UInt64(min(self.failures, 30))))
        self.failures += 1
        return least + Int64(self.random(bound) * 1_000)
    }
}
