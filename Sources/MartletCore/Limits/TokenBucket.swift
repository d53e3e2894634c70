/// A rate with a burst: takes `rate` a second, and up to `burst` at once after a pause. Time is a parameter.
///
/// Its whole state is one number, the moment at which it is full again, so a bucket nobody uses can be forgotten.
package struct TokenBucket: Equatable, Sendable {
    /// What a bucket allows.
    package struct Rate: Equatable, Sendable {
        /// Time that one takes to come back, in nanoseconds; at least 1.
        let intervalNs: Int64
        let burst: Int64
        package let perSecond: Int

        /// - Parameters:
        ///   - perSecond: 0 or less is any number: nil.
        ///   - burst: at least 1 is allowed at once.
        package init?(perSecond: Int, burst: Int) {
            guard perSecond > 0 else { return nil }
            self.perSecond = perSecond
            self.intervalNs = max(1, 1_000_000_000 / Int64(perSecond))
            self.burst = Int64(min(max(1, burst), 1_000_000_000))
        }
    }

    /// When it is full again, in nanoseconds of the caller's clock.
    private var fullAt: Int64

    /// A full one.
    package init() { self.fullAt = .min }

    package func isFull(at nowNs: Int64) -> Bool { self.fullAt <= nowNs }

    /// Takes `count`, or nothing.
    ///
    /// More than the burst at once is taken when the bucket is full, and paid for afterwards; otherwise nobody could ever
    /// send so many.
    ///
    /// - Returns: nil if they were taken; otherwise after how many nanoseconds they would be.
    package mutating func take(_ count: Int, _ rate: Rate, at nowNs: Int64) -> Int64? {
        guard count > 0 else { return nil }
        let count = min(Int64(count), 1_000_000_000)
        let from = max(self.fullAt, nowNs)
        let missing = from - nowNs
        let wait = missing + (min(count, rate.burst) - rate.burst) * rate.intervalNs
        guard wait <= 0 else { return wait }
        self.fullAt = from + count * rate.intervalNs
        return nil
    }

    /// Gives back what was taken for something that did not happen.
    package mutating func giveBack(_ count: Int, _ rate: Rate) {
        guard self.fullAt != .min else { return }
        self.fullAt -= min(Int64(max(0, count)), 1_000_000_000) * rate.intervalNs
    }
}
