import Synchronization

/// The clocks that a store under test is given; they move only when told to.
package final class ContractClock: Sendable {
    private let state: Mutex<(server: Int64, wall: Int64)>

    /// - Parameters:
    ///   - server: the server's clock at the start, in milliseconds.
    ///   - wall: Unix time at the start, in milliseconds.
    package init(server: Int64 = 1_000_000, wall: Int64 = 1_763_690_947_123) {
        self.state = Mutex((server, wall))
    }

    /// The server's clock, in milliseconds.
    package var now: Int64 { self.state.withLock { $0.server } }
    /// Unix time, in milliseconds.
    package var wall: Int64 { self.state.withLock { $0.wall } }

    /// Moves both clocks on.
    package func advance(milliseconds: Int64) {
        self.state.withLock {
            $0.server += milliseconds
            $0.wall += milliseconds
        }
    }

    /// Moves only the wall clock, back or forth.
    package func stepWall(milliseconds: Int64) { self.state.withLock { $0.wall += milliseconds } }
}
