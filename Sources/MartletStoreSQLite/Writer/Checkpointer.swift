import GRDBSQLite
import Synchronization

/// Moves pages from SQLite's log into the database file, on a thread and a connection of its own, so that commits don't
/// wait.
final class Checkpointer: Sendable {
    private struct State {
        var requested = false
        var stopping = false
        /// Pages that were left in the log when the last run ended.
        var remaining = Int32.max
    }

    private let state = Monitor(State())
    private let worker: Worker

    /// - Parameter open: makes the connection, on the thread.
    init(open: @escaping @Sendable () throws -> Connection) throws {
        let state = self.state
        self.worker = try Worker {
            guard let db = try? open() else { return }
            defer { db.close() }
            while true {
                let stop = state.wait { $0.stopping ? true : $0.requested ? false : nil } ?? true
                if stop { return }
                let moved = try? db.checkpoint(SQLITE_CHECKPOINT_PASSIVE)
                state.withLock {
                    $0.requested = false
                    $0.remaining = moved.map { $0.log - $0.moved } ?? .max
                }
            }
        }
    }

    var isIdle: Bool { self.state.withLock { !$0.requested } }

    var remainingPages: Int32 {
        get { self.state.withLock { $0.remaining } }
        set { self.state.withLock { $0.remaining = newValue } }
    }

    func request() {
        self.state.change { state in
            state.requested = true
            return ((), true)
        }
    }

    func stop() {
        self.state.change { state in
            state.stopping = true
            return ((), true)
        }
        self.worker.join()
    }
}
