/// Pauses before trying again: a random time up to a bound that doubles (full jitter), so that clients that were cut
/// off together do not come back together.
struct Backoff {
    /// The first and the largest bound, in milliseconds.
    var first: Int64 = 250
    var largest: Int64 = 15_000
    private var tries = 0

    init() {}

    /// Starts again with the first bound.
    mutating func reset() { self.tries = 0 }

    /// The next pause, in milliseconds.
    ///
    /// - Parameter least: what the server asked for; the random part comes on top.
    mutating func next(least: Int64 = 0) -> Int64 {
        let bound = min(self.largest, self.first << Int64(min(self.tries, 16)))
        self.tries += 1
        return least + Int64.random(in: 0...bound)
    }
}

func pause(milliseconds: Int64) async throws {
    try await Task.sleep(for: .milliseconds(milliseconds))
}
