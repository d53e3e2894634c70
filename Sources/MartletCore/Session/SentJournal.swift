/// Collects what a session sent, as ranges, until the next update is taken.
struct SentJournal: Sendable {
    private var ranges: [JournalRange] = []
    /// Lanes whose next message must begin a range of its own, one bit each.
    private var cuts: UInt16 = 0

    var isEmpty: Bool { self.ranges.isEmpty }

    mutating func sent(_ lane: Lane, offset: UInt64, at: Int64) {
        let bit = UInt16(1) << UInt16(lane.index)
        if self.cuts & bit == 0, let index = self.ranges.lastIndex(where: { $0.lane == lane }) {
            self.ranges[index].to = max(self.ranges[index].to, offset)
            self.ranges[index].at = at
        } else {
            self.ranges.append(.init(kind: .sent, lane: lane, from: offset, to: offset, at: at))
            self.cuts &= ~bit
        }
    }

    /// Something in the lane was passed over unsent: no range may reach across it.
    mutating func cut(_ lane: Lane) { self.cuts |= UInt16(1) << UInt16(lane.index) }

    mutating func take() -> [JournalRange] {
        // Ranges taken now are closed by being taken.
        self.cuts = 0
        defer { self.ranges = [] }
        return self.ranges
    }
}
