import Synchronization

/// Lets one task wait for the first of several events.
final class OneShot: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Void, Never>)
        case fired
    }

    private let state = Mutex(State.idle)

    func fire() {
        let continuation: CheckedContinuation<Void, Never>? = self.state.withLock { state in
            defer { state = .fired }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume()
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isFired = self.state.withLock { state in
                if case .fired = state { return true }
                state = .waiting(continuation)
                return false
            }
            if isFired { continuation.resume() }
        }
    }
}
