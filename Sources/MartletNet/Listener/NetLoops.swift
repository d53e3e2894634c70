package import NIOCore

/// The connections of some listeners on all loops, as far as they end together.
package struct NetLoops: Sendable {
    /// In the order of the node's shards.
    package let states: [LoopState]

    /// - Parameters:
    ///   - loops: in the order of the node's shards.
    ///   - counted: told by how many the open connections change.
    package init(_ loops: [any EventLoop], counted: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.states = loops.enumerated().map { LoopState(loop: $0.element, index: $0.offset, counted: counted) }
    }

    /// Ends idle connections at once and the others after their answer.
    ///
    /// - Parameter done: called once when none is left.
    package func quiesce(done: @escaping @Sendable () -> Void) {
        let counter = EmptyCounter(left: self.states.count, done: done)
        for state in self.states { state.loop.execute { state.quiesce { counter.oneEmpty() } } }
    }

    /// Ends every connection that is left.
    package func abort() {
        for state in self.states { state.loop.execute { state.closeAll() } }
    }
}
