import MartletCore
import MartletWire
import Synchronization

/// Bounds what one user, and all users of an app, may have open: live sessions, and new ones in a second.
///
/// Shared by all shards. It knows only users with live sessions, and those that opened one recently.
final class SessionLimiter: Sendable {
    /// A place that a session takes; given back with ``leave(_:)``.
    struct Place: Equatable, Sendable {
        fileprivate var user: Int
        fileprivate var app: AppID
    }

    private struct User {
        var live: Int32 = 0
        var opens = TokenBucket()
    }

    private struct State {
        /// By a hash of app and user with a seed of this process: the names are held by the sessions.
        var users: [Int: User] = [:]
        var apps: [AppID: Int] = [:]
        /// Users known when those that are idle are next looked for.
        var sweepAt = SessionLimiter.sweepLeast
    }

    private let state = Mutex(State())
    private let sessionsPerUser: Int
    private let rate: TokenBucket.Rate?
    /// Sessions that an app may have; 0 is any number.
    private let appSessions: @Sendable (AppID) -> Int

    private static let sweepLeast = 1_024

    init(_ limits: Limits, appSessions: @escaping @Sendable (AppID) -> Int) {
        self.sessionsPerUser = limits.sessionsPerUser
        self.rate = TokenBucket.Rate(perSecond: limits.subscribeRate, burst: limits.subscribeBurst)
        self.appSessions = appSessions
    }

    /// Asks for a place for a session.
    ///
    /// - Parameters:
    ///   - replaces: it takes over a session of its device, so one goes for it.
    ///   - isCounted: whether it counts for the rate.
    func enter(_ hello: Hello, replaces: Bool, isCounted: Bool, nowMs: Int64) -> Result<Place, WireError> {
        let place = Self.place(hello)
        let appLimit = self.appSessions(hello.app)
        return self.state.withLock { state in
            var user = state.users[place.user] ?? User()
            // Who says no name is nobody's session; such a one there is in dev mode only.
            let isNamed = hello.user != nil || hello.device != nil
            guard replaces || !isNamed || user.live < self.sessionsPerUser else {
                return .failure(
                    WireError(
                        .tooManySessions,
                        "This user has \(self.sessionsPerUser) live sessions, as many as one user may have: close some.",
                        limit: self.sessionsPerUser))
            }
            guard replaces || appLimit <= 0 || state.apps[place.app, default: 0] < appLimit else {
                return .failure(
                    WireError(
                        .tooManyConnections, "The app has \(appLimit) open connections, as many as it may have.", limit: appLimit))
            }
            if isCounted, isNamed, let rate = self.rate, let wait = user.opens.take(1, rate, at: nowMs * 1_000_000) {
                return .failure(
                    WireError(
                        .rateLimited, "This user opens sessions faster than is allowed: wait before the next.",
                        retryAfterMs: max(1, (wait + 999_999) / 1_000_000)))
            }
            user.live += 1
            state.users[place.user] = user
            state.apps[place.app, default: 0] += 1
            Self.sweep(&state, nowMs: nowMs)
            return .success(place)
        }
    }

    func leave(_ place: Place, nowMs: Int64) {
        self.state.withLock { state in
            state.apps[place.app, default: 1] -= 1
            guard var user = state.users[place.user] else { return }
            user.live -= 1
            state.users[place.user] = user.live > 0 || !user.opens.isFull(at: nowMs * 1_000_000) ? user : nil
        }
    }

    /// Users known.
    var count: Int { self.state.withLock { $0.users.count } }

    /// Forgets who has nothing open and opened nothing recently, whenever there are twice as many as were left last time.
    private static func sweep(_ state: inout State, nowMs: Int64) {
        guard state.users.count >= state.sweepAt else { return }
        state.users = state.users.filter { $0.value.live > 0 || !$0.value.opens.isFull(at: nowMs * 1_000_000) }
        state.sweepAt = max(self.sweepLeast, state.users.count * 2)
    }

    private static func place(_ hello: Hello) -> Place {
        var hasher = Hasher()
        hasher.combine(hello.app)
        // Who has no user counts as its device.
        hasher.combine(hello.user == nil)
        // Byte for byte, as all names.
        for byte in (hello.user ?? hello.device ?? "").utf8 { hasher.combine(byte) }
        return Place(user: hasher.finalize(), app: hello.app)
    }
}
