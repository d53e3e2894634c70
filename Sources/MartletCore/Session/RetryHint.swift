/// When clients should come back, spread so that they do not all come at once.
package enum RetryHint {
    /// A pause between the limits, in milliseconds.
    ///
    /// - Parameter random: 64 random bits.
    package static func pause(_ limits: Limits, random: UInt64) -> Int64 {
        let span = UInt64(max(1, limits.retryMaxMs - limits.retryMinMs))
        return limits.retryMinMs + Int64(random % span)
    }

    /// A pause for one of `sessions` that are sent away together: about a thousand a second, within half a minute.
    ///
    /// - Parameter random: 64 random bits.
    package static func drainPause(sessions: Int, _ limits: Limits, random: UInt64) -> Int64 {
        let span = min(30_000, max(limits.retryMaxMs - limits.retryMinMs, Int64(sessions)))
        return limits.retryMinMs + Int64(random % UInt64(max(1, span)))
    }
}
