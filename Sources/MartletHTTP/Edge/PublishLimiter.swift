package import MartletCore
package import MartletWire
package import NIOCore
import Synchronization

/// Bounds how many messages an API key, and all keys of an app, publish in a second.
///
/// Shared by all loops; not even asked where nothing is bounded. It knows one bucket for each key and app that published.
package final class PublishLimiter: Sendable {
    private struct Key: Hashable {
        var app: AppID
        var id: String
    }

    private struct State {
        var keys: [Key: TokenBucket] = [:]
        var apps: [AppID: TokenBucket] = [:]
        /// Keys known when those that are idle are next looked for.
        var sweepAt = PublishLimiter.sweepLeast
    }

    private let state = Mutex(State())
    private let keyRate: TokenBucket.Rate?
    private let burst: Int
    /// Messages that all keys of an app may publish in a second; 0 is any number.
    private let appRate: @Sendable (AppID) -> Int

    private static let sweepLeast = 1_024

    /// - Parameter appRate: called with each publish; default any number.
    package init(_ limits: Limits, appRate: @escaping @Sendable (AppID) -> Int = { _ in 0 }) {
        self.keyRate = TokenBucket.Rate(perSecond: limits.publishRate, burst: limits.publishBurst)
        self.burst = limits.publishBurst
        self.appRate = appRate
    }

    /// Whether there is anything to ask.
    package func isBounded(app: AppID) -> Bool { self.keyRate != nil || self.appRate(app) > 0 }

    /// Counts messages before they are published.
    ///
    /// - Parameters:
    ///   - keyID: the key's public name; in dev mode `dev`.
    ///   - count: messages; of a batch all its lines.
    ///   - who: as the refusal says.
    /// - Returns: nil if they may be published; otherwise the refusal, and nothing was counted.
    package func refusal(keyID: String, app: AppID, count: Int, who: String = "This key", now: NIODeadline = .now()) -> WireError? {
        let perApp = self.appRate(app)
        let nowNs = Int64(clamping: now.uptimeNanoseconds)
        let appRate = TokenBucket.Rate(perSecond: perApp, burst: max(self.burst, perApp))
        return self.state.withLock { state in
            let key = Key(app: app, id: keyID)
            if let rate = self.keyRate {
                var bucket = state.keys[key] ?? TokenBucket()
                if let wait = bucket.take(count, rate, at: nowNs) {
                    return Self.error(who, rate: rate.perSecond, waitNs: wait)
                }
                state.keys[key] = bucket
            }
            if let rate = appRate {
                var bucket = state.apps[app] ?? TokenBucket()
                if let wait = bucket.take(count, rate, at: nowNs) {
                    if let rate = self.keyRate { state.keys[key]?.giveBack(count, rate) }
                    return Self.error("The app", rate: rate.perSecond, waitNs: wait)
                }
                state.apps[app] = bucket
            }
            if state.keys.count >= state.sweepAt {
                state.keys = state.keys.filter { !$0.value.isFull(at: nowNs) }
                state.sweepAt = max(Self.sweepLeast, state.keys.count * 2)
            }
            return nil
        }
    }

    /// The same for a client, whose name counts as a key.
    ///
    /// - Parameter user: nil for those without a name, who count as one.
    package func refusal(user: String?, app: AppID, count: Int) -> WireError? {
        // No key's name has a space.
        self.refusal(keyID: "user \(user ?? "")", app: app, count: count, who: "You")
    }

    private static func error(_ who: String, rate: Int, waitNs: Int64) -> WireError {
        WireError(
            .rateLimited, "\(who) \(who == "You" ? "publish" : "publishes") more than \(rate) messages a second: wait before the next.", limit: rate,
            retryAfterMs: max(1, (waitNs + 999_999) / 1_000_000))
    }
}
