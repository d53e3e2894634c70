import Synchronization

/// Calls `done` once each of some (loops, listeners) has no connection left.
package final class EmptyCounter: Sendable {
    private let left: Atomic<Int>
    private let done: @Sendable () -> Void

    package init(left: Int, done: @escaping @Sendable () -> Void) {
        self.left = Atomic(left)
        self.done = done
    }

    package func oneEmpty() {
        if self.left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { self.done() }
    }
}
