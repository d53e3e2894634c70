/// Remembers which positions the sequence numbers of one RAMEN session stand for, in bounded space; they only grow.
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
    /// - Returns: the positions that it covers, or nil if it covers nothing that is remembered. A number beyond the last
    ///   mark covers nothing: the record lags behind, and a session since may have begun again from an earlier position.
    package mutating func acked(_ seq: UInt64) -> Positions? {
        guard let last = self.marks.last, seq <= last.seq,
            let index = self.marks.lastIndex(where: { $0.seq <= seq })
        else { return nil }
        let positions = self.marks[index].positions
        self.marks.removeFirst(index + 1)
        return positions
    }
}
