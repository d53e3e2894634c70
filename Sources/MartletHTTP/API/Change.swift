import Synchronization

/// Something that happens at most once, and somebody who waits for it for a while.
final class Change: Sendable {
    private enum State {
        case waiting
        case waited(CheckedContinuation<Bool, Never>)
        case over
    }

    private let state = Mutex(State.waiting)

    /// It happened.
    func wake() { self.end(true) }

    private func end(_ happened: Bool) {
        let continuation: CheckedContinuation<Bool, Never>? = self.state.withLock { state in
            if case .waited(let continuation) = state {
                state = .over
                return continuation
            }
            // A deadline that comes before anybody waits is found by the waiter itself.
            if happened { state = .over }
            return nil
        }
        continuation?.resume(returning: happened)
    }

    /// - Returns: whether it happened before the deadline.
    func wait(until deadline: ContinuousClock.Instant) async -> Bool {
        let timer = Task {
            try? await Task.sleep(until: deadline, clock: .continuous)
            self.end(false)
        }
        defer { timer.cancel() }
        return await withCheckedContinuation { continuation in
            let isOver = self.state.withLock { state in
                if case .over = state { return true }
                state = .waited(continuation)
                return false
            }
            if isOver {
                continuation.resume(returning: true)
            } else if ContinuousClock.now >= deadline {
                self.end(false)
            }
        }
    }
}
