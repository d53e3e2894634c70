/// Remembers which positions the sequence numbers of a RAMEN device stand for, in bounded space.
///
/// The newest numbers are known exactly. Of older ones only some are kept; acking one in between acks what the next
/// smaller kept one stands for, which is safe: at worst a few messages come again.
package struct SeqMarks: Equatable, Sendable {
    package private(set) var marks: [SeqMark]

    /// Marks kept at most.
    package static let limit = 128

    package init(_ marks: [SeqMark] = []) { self.marks = marks }

    package mutating func sent(_ seq: UInt64, positions: Positions) {
        self.marks.append(SeqMark(seq: seq, positions: positions))
        guard self.marks.count > Self.limit else { return }
        // Every second one of the older half goes; each keeps full positions, so those that stay are exact.
        let half = Self.limit / 2
        var kept: [SeqMark] = []
        kept.reserveCapacity(Self.limit)
        for (index, mark) in self.marks.enumerated() where index >= half || index % 2 == 1 { kept.append(mark) }
        self.marks = kept
    }

    /// Takes an ack: everything at or below `seq`.
    ///
    /// - Returns: the positions that it covers, or nil if it covers nothing that is remembered.
    package mutating func acked(_ seq: UInt64) -> Positions? {
        guard let index = self.marks.lastIndex(where: { $0.seq <= seq }) else { return nil }
        var positions = Positions()
        // Marks of an earlier session of the device need not be behind those of a later one in every lane.
        for mark in self.marks[...index] { positions.advance(to: mark.positions) }
        self.marks.removeFirst(index + 1)
        return positions
    }
}
