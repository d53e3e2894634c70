/// What a session still has to say, for the one task that says it.
package final class Outgoing: Sendable {
    private struct State {
        var frames: [ClientFrame] = []
        var isFinished = false
    }

    private let state = Locked(State())
    private let signal = Signal()

    package init() {}

    package func put(_ frame: ClientFrame) {
        self.state.with { state in
            guard !state.isFinished else { return }
            // Acks of a moment go together.
            if case .ack(let new) = frame, case .ack(let old)? = state.frames.last, old.count < 512 {
                state.frames[state.frames.count - 1] = .ack(old + new)
            } else {
                state.frames.append(frame)
            }
        }
        self.signal.signal()
    }

    /// Nothing is added any more.
    package func finish() {
        self.state.with { $0.isFinished = true }
        self.signal.signal()
    }

    /// Waits until there is something, and takes all of it; nil at the end, and when the task is cancelled.
    package func next() async -> [ClientFrame]? {
        while !Task.isCancelled {
            let (frames, isFinished) = self.state.with { state in
                defer { state.frames = [] }
                return (state.frames, state.isFinished)
            }
            if !frames.isEmpty { return frames }
            if isFinished { return nil }
            await self.signal.wait()
        }
        return nil
    }
}
