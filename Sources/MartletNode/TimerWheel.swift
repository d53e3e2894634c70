/// What a ``TimerWheel`` wakes: a place in it, for the wheel alone to use.
package protocol TimerWheelEntry: AnyObject {
    /// -1 when it is not in a wheel.
    var dueTick: Int64 { get set }
    var wheelNext: Self? { get set }
    var wheelPrevious: Self? { get set }
}

/// Wakes entries (sessions) when they are due, from one timer per event loop.
///
/// They are linked into slots, so that adding and removing one costs the same however many there are and
/// allocates nothing. Confined to its event loop.
package struct TimerWheel<Entry: TimerWheelEntry> {
    /// Length of one slot, in milliseconds: timers are this exact.
    package static var tickMs: Int64 { 100 }
    private static var slotCount: Int64 { 1_024 }

    private var heads: [Entry?] = .init(repeating: nil, count: Int(Self.slotCount))
    /// The last tick that was handled.
    private var tick: Int64
    /// Entries in it.
    package private(set) var count = 0

    /// - Parameter now: the server's clock, in milliseconds.
    package init(now: Int64) { self.tick = now / Self.tickMs }

    /// - Parameter due: on the server's clock, in milliseconds; what is past is due at the next tick.
    package mutating func add(_ session: Entry, due: Int64) {
        let tick = max(self.tick + 1, (due + Self.tickMs - 1) / Self.tickMs)
        let slot = Int(tick % Self.slotCount)
        session.dueTick = tick
        session.wheelPrevious = nil
        session.wheelNext = self.heads[slot]
        self.heads[slot]?.wheelPrevious = session
        self.heads[slot] = session
        self.count += 1
    }

    /// Harmless if it is not in the wheel.
    package mutating func remove(_ session: Entry) {
        guard session.dueTick >= 0 else { return }
        let slot = Int(session.dueTick % Self.slotCount)
        if let previous = session.wheelPrevious {
            previous.wheelNext = session.wheelNext
        } else {
            self.heads[slot] = session.wheelNext
        }
        session.wheelNext?.wheelPrevious = session.wheelPrevious
        session.wheelNext = nil
        session.wheelPrevious = nil
        session.dueTick = -1
        self.count -= 1
    }

    /// Takes out those that are due.
    package mutating func advance(to now: Int64) -> [Entry] {
        let target = now / Self.tickMs
        var due: [Entry] = []
        // After a long pause one turn around the wheel sees every slot.
        var next = max(self.tick + 1, target - Self.slotCount + 1)
        while next <= target {
            var current = self.heads[Int(next % Self.slotCount)]
            while let session = current {
                current = session.wheelNext
                if session.dueTick <= target { due.append(session) }
            }
            next += 1
        }
        self.tick = max(self.tick, target)
        for session in due { self.remove(session) }
        return due
    }
}
