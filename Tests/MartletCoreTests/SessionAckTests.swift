import MartletCore
import MartletWire
import Testing

@Suite struct SessionAckTests {
    @Test func singleAcksMoveTheAckedPrefixOfEachLane() throws {
        let bench = try SessionBench()
        _ = bench.commit(bench.message(1, .medium))
        _ = bench.commit(bench.message(2, .high))
        _ = bench.commit(bench.message(3, .medium))
        try bench.ack(3)
        #expect(bench.session.acked[.userMedium] == 0)
        #expect(bench.session.acked[.userHigh] == 1)
        try bench.ack(2)
        #expect(bench.session.acked[.userHigh] == 2)
        try bench.ack(1)
        #expect(bench.session.acked[.userMedium] == 3)
    }

    @Test func anAckUpToANumberIsCumulative() throws {
        let bench = try SessionBench()
        for offset in 1...3 { _ = bench.commit(bench.message(UInt64(offset))) }
        try bench.session.acked(.upTo(2), at: 1)
        #expect(bench.session.acked[.userMedium] == 2)
        try bench.session.acked(.upTo(1), at: 1)
        #expect(bench.session.acked[.userMedium] == 2)
        #expect(bench.session.window.inFlight == 1)
    }

    @Test func modeNoneTakesNoAcksBySeq() throws {
        let bench = try SessionBench(mode: .none)
        _ = bench.commit(bench.message(1))
        do {
            try bench.ack(1)
            Issue.record("accepted")
        } catch {
            #expect((error as? WireError)?.code == .badRequest)
            #expect((error as? WireError)?.message.contains("ack=explicit") == true)
        }
    }

    @Test func aNumberNeverSentAcksNothing() throws {
        let bench = try SessionBench()
        _ = bench.commit(bench.message(1))
        #expect(throws: WireError.self) { try bench.ack(1, 2) }
        #expect(throws: WireError.self) { try bench.session.acked(.upTo(2), at: 1) }
        #expect(throws: WireError.self) { try bench.ack(0) }
        #expect(bench.session.window.inFlight == 1)
    }

    @Test func aCursorAcksWhatWasSentUpToIt() throws {
        let bench = try SessionBench()
        _ = bench.commit(bench.message(1, .medium))
        let second = try #require(bench.commit(bench.message(2, .high)))
        _ = bench.commit(bench.message(3, .high))
        try bench.session.acked(second.cursor, end: 3, at: 1)
        #expect(bench.session.window.inFlight == 1)
        #expect(bench.session.acked[.userMedium] == 1)
        #expect(bench.session.acked[.userHigh] == 2)
    }

    @Test func aCursorBeyondWhatWasSentMovesTheSessionOn() throws {
        let bench = try SessionBench(isCaughtUp: false)
        var cursor = bench.session.cursor
        cursor.positions[.userMedium] = 5
        try bench.session.acked(cursor, end: 9, at: 1)
        #expect(bench.read([bench.entry(bench.message(4)), bench.entry(bench.message(6))], end: 9).offsets == [6])
    }

    @Test func anothersCursorAcksNothing() throws {
        let bench = try SessionBench()
        let delivery = try #require(bench.commit(bench.message(1)))
        var cursor = delivery.cursor
        (cursor.userHash, cursor.deviceHash, cursor.appHash) = (1, 2, 3)
        #expect(throws: WireError.self) { try bench.session.acked(cursor, end: 1, at: 1) }
        #expect(bench.session.window.inFlight == 1)
    }

    @Test func theRecordedPositionIsTheAckedOne() throws {
        let bench = try SessionBench()
        _ = bench.commit(bench.message(1))
        _ = bench.commit(bench.message(2))
        let first = try #require(bench.update())
        #expect(first.acked[.userMedium] == 0)
        #expect(first.sent[.userMedium] == 2)
        #expect(bench.update() == nil)
        try bench.ack(1)
        let second = try #require(bench.update())
        #expect(second.acked[.userMedium] == 1)
        #expect(second.journal == [.init(kind: .delivered, lane: .userMedium, from: 1, to: 1, at: bench.at)])
    }

    @Test func whatWasSentIsJournalledInRangesThatDoNotReachAcrossWhatWasNot() throws {
        let bench = try SessionBench(window: 8, isCaughtUp: false)
        _ = bench.read(
            [
                bench.entry(bench.message(1)), bench.entry(bench.message(2)), bench.skipped(3),
                bench.entry(bench.message(4)),
            ], end: 4)
        let journal = try #require(bench.update()).journal
        #expect(journal.map { [$0.from, $0.to] } == [[1, 2], [4, 4]])
    }

    @Test func aCollapseEndsTheRangeThatWasBegunBeforeIt() throws {
        let bench = try SessionBench(window: 8)
        _ = bench.commit(bench.message(1, key: "k"))
        bench.at += 10
        _ = bench.commit(bench.message(2, key: "k"), superseded: 1)
        let journal = try #require(bench.update()).journal
        #expect(journal.map { [$0.from, $0.to, UInt64($0.at)] } == [[1, 1, 50_000], [2, 2, 50_010]])
    }

    /// The answer to the ack may be on its way before the device's record has come.
    @Test func anAckWhileTheSessionOpensIsKept() throws {
        var session = Session(SessionBench.hello(), tag: 1, epoch: 1)
        var cursor = session.cursor
        cursor.positions[.userMedium] = 4
        try session.acked(cursor, end: 9, at: 1)
        let record = DeviceRecord(isNew: false, acked: Positions(), suspect: Positions(), end: 9)
        _ = try session.opened(record, cursor: nil, ramenSeq: nil, end: 9, at: 1)
        #expect(session.acked[.userMedium] == 4)
        let update = session.takeUpdate(at: 1)
        #expect(update?.acked[.userMedium] == 4)
    }

    @Test func anAckIsRecordedThoughTheSessionEndsBeforeItHasOpened() throws {
        var session = Session(SessionBench.hello(), tag: 1, epoch: 1)
        var cursor = session.cursor
        cursor.positions[.userMedium] = 4
        try session.acked(cursor, end: 9, at: 1)
        let update = session.takeUpdate(at: 1)
        #expect(update?.acked[.userMedium] == 4)
        #expect(update?.sent == Positions())
        #expect(update?.journal == [])
    }

    @Test func aRamenAckWhileTheSessionOpensIsKept() throws {
        var session = Session(SessionRamen.hello(0), tag: 1, epoch: 1)
        try session.acked(.upTo(5), at: 1)
        let record = SessionRamen.record(nextSeq: 6, seqEnd: 20, marks: [(4, 40), (5, 50)])
        _ = try session.opened(record, cursor: nil, ramenSeq: 0, end: 60, at: 1)
        #expect(session.acked[.userMedium] == 50)
    }

    /// The notice may be lost with the connection: until something after it is acked, it must come again.
    @Test func aGapIsNotRecordedBeforeItsNoticeHasArrived() throws {
        let bench = try SessionBench(isCaughtUp: false)
        let out = bench.read(
            [bench.entry(bench.message(8))], gaps: [.init(lane: .userMedium, from: 0, to: 5)], end: 8)
        #expect(out.gaps.map(\.to) == [5])
        #expect(bench.session.acked[.userMedium] == 0)
        try bench.ack(1)
        #expect(bench.session.acked[.userMedium] == 8)
    }

    @Test func aGapWithNothingAfterItStaysUnrecorded() throws {
        let bench = try SessionBench(acked: 2, isCaughtUp: false)
        _ = bench.read([], gaps: [.init(lane: .userLow, from: 2, to: 5)], end: 8)
        #expect(bench.session.acked[.userLow] == 2)
        #expect(bench.session.acked[.userMedium] == 8)
        #expect(bench.session.isCaughtUp)
    }

    @Test func aGapIsToldOnceInASession() throws {
        let bench = try SessionBench(isCaughtUp: false)
        let gap = LogGap(lane: .userLow, from: 0, to: 5)
        #expect(bench.read([], gaps: [gap], more: [true, true, true], end: 5).gaps.count == 1)
        #expect(bench.read([], gaps: [gap], end: 5).gaps.isEmpty)
    }
}
