/// Wakes sessions when they are due, from one timer per event loop.
///
/// Sessions are linked into slots, so that adding and removing one costs the same however many there are and
/// allocates nothing. Confined to its event loop.
struct TimerWheel {
    /// Length of one slot, in milliseconds: timers are this exact.
    static let tickMs: Int64 = 100
    private static let slotCount: Int64 = 1_024

    private var heads: [LiveSession?] = .init(repeating: nil, count: Int(Self.slotCount))
    /// The last tick that was handled.
    private var tick: Int64
    private(set) var count = 0

    /// - Parameter now: the server's clock, in milliseconds.
    init(now: Int64) { self.tick = now / Self.tickMs }

    mutating func add(_ session: LiveSession, due: Int64) {
        let tick = max(self.tick + 1, (due + Self.tickMs - 1) / Self.tickMs)
        let slot = Int(tick % Self.slotCount)
        session.dueTick = tick
        session.wheelPrevious = nil
        session.wheelNext = self.heads[slot]
        self.heads[slot]?.wheelPrevious = session
        self.heads[slot] = session
        self.count += 1
    }

    mutating func remove(_ session: LiveSession) {
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
    mutating func advance(to now: Int64) -> [LiveSession] {
        let target = now / Self.tickMs
        var due: [LiveSession] = []
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
