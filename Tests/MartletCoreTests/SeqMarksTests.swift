import MartletCore
import Testing

@Suite struct SeqMarksTests {
    private func filled(_ count: UInt64) -> SeqMarks {
        var marks = SeqMarks()
        for seq in 1...count { marks.sent(seq, positions: Positions(all: seq * 10)) }
        return marks
    }

    @Test func anAckCoversWhatItsNumberStoodFor() {
        var marks = self.filled(5)
        #expect(marks.acked(3) == Positions(all: 30))
        #expect(marks.marks.map(\.seq) == [4, 5])
        #expect(marks.acked(3) == nil)
    }

    @Test func memoryIsBoundedAndThinnedAcksFallShort() {
        var marks = self.filled(10_000)
        #expect(marks.marks.count <= SeqMarks.limit)
        let thinned = marks.marks
        for seq in stride(from: UInt64(9_000), through: 10_000, by: 7) {
            var copy = SeqMarks(thinned)
            if let positions = copy.acked(seq) { #expect(positions.largest <= seq * 10) }
        }
        #expect(marks.acked(9_999) == Positions(all: 99_990))
    }

    /// The record may lag behind what was sent: a later session may have begun again from an earlier position.
    @Test func aNumberBeyondTheLastMarkCoversNothing() {
        var marks = self.filled(5)
        #expect(marks.acked(6) == nil)
        #expect(marks.marks.count == 5)
    }
}
