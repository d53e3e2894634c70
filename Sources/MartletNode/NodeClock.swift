/// The clocks and dice of a node, as values that tests can replace.
package struct NodeClock: Sendable {
    /// The server's clock in milliseconds: decides on expiry; never runs backwards and ignores steps of the wall clock.
    package var now: @Sendable () -> Int64
    /// Unix time in milliseconds by the wall clock: for people.
    package var wall: @Sendable () -> Int64
    /// 64 random bits.
    package var random: @Sendable () -> UInt64

    package init(
        now: @escaping @Sendable () -> Int64, wall: @escaping @Sendable () -> Int64, random: @escaping @Sendable () -> UInt64
    ) {
        self.now = now
        self.wall = wall
        self.random = random
    }
}
