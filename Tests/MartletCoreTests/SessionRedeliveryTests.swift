import MartletCore
import MartletWire
import Testing

@Suite struct SessionRedeliveryTests {
    @Test func onlyWhatMayHaveBeenSentBeforeIsMarked() throws {
        let bench = try SessionBench(window: 8, suspect: 2, isCaughtUp: false)
        let out = bench.read([bench.entry(bench.message(2)), bench.entry(bench.message(3))], end: 3)
        #expect(out.deliveries.map(\.redelivered) == [true, false])
        #expect(bench.commit(bench.message(4))?.redelivered == false)
    }

    @Test func aMessageSentEarlyCountsAsSent() throws {
        let bench = try SessionBench(isCaughtUp: false)
        _ = bench.read([bench.entry(bench.message(9, key: "k"), place: 1)], more: [false, true, false], end: 9)
        #expect(bench.update()?.sent[.userMedium] == 9)
    }

    @Test func ramenNumbersGoOnWhereTheDeviceWas() throws {
        var session = Session(SessionRamen.hello(5), tag: 1, epoch: 1)
        let record = SessionRamen.record(nextSeq: 6, seqEnd: 20, marks: [(4, 40), (5, 50)])
        _ = try session.opened(record, cursor: nil, ramenSeq: 5, end: 60, at: 1)
        #expect(session.reached == Positions(all: 50))
        #expect(session.nextSeq == 6)
    }

    @Test func aRamenNumberNeverGivenOutIsRefused() {
        var session = Session(SessionRamen.hello(6), tag: 1, epoch: 1)
        let record = SessionRamen.record(nextSeq: 6, seqEnd: 20, marks: [])
        #expect(throws: WireError.self) { try session.opened(record, cursor: nil, ramenSeq: 6, end: 60, at: 1) }
    }

    /// The first session sent up to 5; the client saw 2 of it. What it says in the second is about the second.
    @Test func marksOfAnEarlierSessionDoNotAckWhatThisOneHasNotSent() throws {
        var session = Session(SessionRamen.hello(2), tag: 1, epoch: 1)
        let record = SessionRamen.record(nextSeq: 6, seqEnd: 20, marks: [(2, 20), (3, 30), (4, 40), (5, 50)])
        _ = try session.opened(record, cursor: nil, ramenSeq: 2, end: 50, at: 1)
        _ = session.nextRead(now: 1)
        let bench = try SessionBench()
        let entries = [bench.entry(bench.message(30)), bench.entry(bench.message(40)), bench.entry(bench.message(50))]
        let out = session.readDone(
            ReadResult(entries: entries, gaps: [], more: [false, false, false], end: 50), now: 1, at: 1)
        #expect(out.deliveries.map(\.seq) == [6, 7, 8])
        try session.acked(.upTo(6), at: 1)
        #expect(session.acked[.userMedium] == 30)
    }

    @Test func anAckByRamenNumberMovesThePosition() throws {
        let bench = try SessionBench(mode: .none, ramen: 0)
        _ = bench.commit(bench.message(1))
        _ = bench.commit(bench.message(2))
        try bench.session.acked(.upTo(1), at: 1)
        #expect(bench.session.acked[.userMedium] == 1)
        let update = try #require(bench.update())
        #expect(update.nextSeq == 3)
        #expect(update.marks?.map(\.seq) == [2])
        #expect(throws: WireError.self) { try bench.session.acked(.upTo(3), at: 1) }
    }

    @Test func withoutNumbersNothingIsSentUntilMoreAreReserved() throws {
        let bench = try SessionBench(mode: .none, ramen: 0, seqEnd: 2)
        #expect(bench.commit(bench.message(1)) != nil)
        #expect(bench.commit(bench.message(2)) == nil)
        #expect(bench.session.seqLeft == 0)
        bench.session.socketTook()
        #expect(!bench.wantsToRead())
        bench.session.reserved(to: 12)
        #expect(bench.read([bench.entry(bench.message(2))], end: 2).offsets == [2])
    }

    /// A message sent from a commit takes the last number while a read is under way; nothing is left in flight.
    @Test func numbersThatRunOutDuringAReadDoNotStopTheSession() throws {
        let bench = try SessionBench(mode: .none, ramen: 0, seqEnd: 2)
        #expect(bench.commit(bench.message(1, .low, expiresAt: 0)) == nil)
        #expect(bench.wantsToRead())
        #expect(bench.commit(bench.message(3, .high)) != nil)
        bench.session.socketTook()
        #expect(bench.finishRead([bench.entry(bench.message(2, .low))], end: 2).offsets == [])
        bench.session.reserved(to: 12)
        #expect(bench.wantsToRead())
    }
}

enum SessionRamen {
    static func hello(_ seq: UInt64) -> Hello {
        var hello = SessionBench.hello(mode: .none, window: 64)
        hello.ramenSeq = seq
        return hello
    }

    static func record(nextSeq: UInt64, seqEnd: UInt64, marks: [(UInt64, UInt64)]) -> DeviceRecord {
        DeviceRecord(
            isNew: false, acked: Positions(), suspect: Positions(all: 50), end: 60, nextSeq: nextSeq, seqEnd: seqEnd,
            marks: marks.map { SeqMark(seq: $0.0, positions: Positions(all: $0.1)) })
    }
}
