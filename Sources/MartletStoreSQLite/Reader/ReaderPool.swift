import GRDBSQLite
import MartletCore

/// Threads that read, each with a connection of its own.
final class ReaderPool: Sendable {
    typealias Job = @Sendable (Result<Reader, StoreError>) -> Void

    private struct State {
        var jobs: [Job] = []
        var next = 0
        var stopping = false

        mutating func take() -> Job? {
            guard self.next < self.jobs.count else { return nil }
            defer {
                self.next += 1
                if self.next == self.jobs.count {
                    self.jobs.removeAll(keepingCapacity: true)
                    self.next = 0
                }
            }
            return self.jobs[self.next]
        }
    }

    private let state = Monitor(State())
    private let workers: [Worker]

    /// - Parameter open: makes a connection.
    init(count: Int, shared: Shared, open: @escaping @Sendable () throws -> Connection) throws {
        let state = self.state
        self.workers = try (0..<max(1, count)).map { _ in
            try Worker {
                var reader: Reader?
                while true {
                    let job = state.wait { state -> Job?? in
                        if let job = state.take() { return .some(job) }
                        return state.stopping ? .some(nil) : nil
                    }
                    guard let job = job ?? nil else { break }
                    do {
                        let ready = try reader ?? Reader(db: try open(), shared: shared)
                        reader = ready
                        job(.success(ready))
                    } catch {
                        job(.failure(StoreError(.unavailable, "\(error)")))
                    }
                }
                reader?.close()
            }
        }
    }

    /// - Returns: whether the job was taken; not after ``stop()``.
    func submit(_ job: @escaping Job) -> Bool {
        self.state.change { state in
            guard !state.stopping else { return (false, false) }
            state.jobs.append(job)
            return (true, true)
        }
    }

    /// Does what waits, then ends.
    func stop() {
        self.state.withLock { $0.stopping = true }
        self.state.wakeAll()
        for worker in self.workers { worker.join() }
    }
}
