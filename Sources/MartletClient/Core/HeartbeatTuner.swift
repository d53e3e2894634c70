/// Finds an interval of heartbeats that the network between here and the server lets through.
///
/// What was cut in silence shortens it at once; each interval that held for a while lengthens the next session's a little.
package struct HeartbeatTuner: Sendable {
    package struct Saved: Codable, Equatable, Sendable {
        package var seconds: Double
        package var bad: Double?
    }

    private let least: Double
    private let most: Double
    /// What to ask for next.
    package private(set) var seconds: Double
    /// The shortest silence that was not survived.
    private var bad: Double?
    /// How often the interval right below ``bad`` has held.
    private var heldBelow = 0

    package init(_ options: MartletOptions.Heartbeat, saved: Saved? = nil) {
        self.least = max(1, min(options.least, 600))
        self.most = max(self.least, min(options.most, 600))
        self.bad = saved?.bad
        self.seconds = min(self.most, max(self.least, saved?.seconds ?? options.start))
    }

    /// A connection was quiet for some beats of this interval, and lived.
    package mutating func held(_ held: Double) {
        if let bad = self.bad {
            self.heldBelow += 1
            // Networks change: what failed once is tried again, much later.
            guard self.heldBelow >= 20 || held * 1.25 < bad * 0.9 else { return }
            if self.heldBelow >= 20 { self.bad = nil }
        }
        self.seconds = min(self.most, max(self.seconds, held * 1.25))
    }

    /// A connection ended after so many seconds of silence.
    package mutating func cut(after silence: Double) {
        guard silence >= self.least * 0.5 else { return }
        self.bad = min(self.bad ?? .infinity, silence)
        self.heldBelow = 0
        self.seconds = max(self.least, min(self.seconds, silence * 0.75))
    }

    package var saved: Saved { Saved(seconds: self.seconds, bad: self.bad) }
}
