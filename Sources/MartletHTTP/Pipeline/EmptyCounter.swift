import Synchronization

/// Calls `done` once every loop has no connection left.
final class EmptyCounter: Sendable {
    private let left: Atomic<Int>
    private let done: @Sendable () -> Void

    init(left: Int, done: @escaping @Sendable () -> Void) {
        self.left = Atomic(left)
        self.done = done
    }

    func oneEmpty() {
        if self.left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { self.done() }
    }
}
