import Synchronization

/// The two clocks of a server, moved by hand.
package final class ManualClock: Sendable {
    private let times: Mutex<(now: Int64, wall: Int64)>

    /// - Parameters:
    ///   - now: the server's own clock, in milliseconds.
    ///   - wall: Unix time in milliseconds.
    package init(now: Int64 = 1_000_000, wall: Int64 = 1_763_690_000_000) { self.times = Mutex((now, wall)) }

    /// The server's own clock, in milliseconds; see `ServerClock`.
    package var now: Int64 { self.times.withLock { $0.now } }

    /// Unix time in milliseconds.
    package var wall: Int64 { self.times.withLock { $0.wall } }

    /// Time passes.
    package func advance(_ milliseconds: Int64) {
        self.times.withLock { $0 = ($0.now + max(0, milliseconds), $0.wall + max(0, milliseconds)) }
    }

    /// Somebody sets the wall clock: the server's own is not to notice.
    package func stepWall(_ milliseconds: Int64) { self.times.withLock { $0.wall += milliseconds } }
}
