import MartletCore
import Testing

@Suite struct SessionSendingTests {
    @Test func aCaughtUpSessionSendsAtOnce() throws {
        let bench = try SessionBench()
        let delivery = try #require(bench.commit(bench.message(1)))
        #expect(delivery.seq == 1)
        #expect(!delivery.redelivered)
        #expect(delivery.cursor.positions[.userMedium] == 1)
        #expect(bench.commit(bench.message(1)) == nil)
    }

    @Test func aFullWindowWaitsForTheLog() throws {
        let bench = try SessionBench(window: 2)
        #expect(bench.commit(bench.message(1, .high)) != nil)
        #expect(bench.commit(bench.message(2, .high)) != nil)
        #expect(bench.commit(bench.message(3, .high)) == nil)
        #expect(!bench.wantsToRead())
        try bench.ack(1)
        #expect(bench.read([bench.entry(bench.message(3, .high))], end: 3).offsets == [3])
        #expect(bench.session.isCaughtUp)
    }

    @Test func noLowOneStartsWhileAHighOneWaits() throws {
        let bench = try SessionBench(window: 1)
        #expect(bench.commit(bench.message(1, .medium)) != nil)
        #expect(bench.commit(bench.message(2, .high)) == nil)
        #expect(bench.commit(bench.message(3, .low)) == nil)
        try bench.ack(1)
        let request = try #require(bench.nextRead())
        #expect(request.messages == 1)
        #expect(bench.commit(bench.message(4, .low)) == nil)
        #expect(bench.finishRead([bench.entry(bench.message(2, .high))], more: [false, false, true], end: 3).offsets == [2])
    }

    @Test func aHighOneCommittedDuringAReadGoesBeforeWhatItBrings() throws {
        let bench = try SessionBench(window: 2, bytes: 100, isCaughtUp: false)
        #expect(bench.wantsToRead())
        #expect(bench.commit(bench.message(9, .high)) == nil)
        let first = bench.finishRead([bench.entry(bench.message(1, .medium))], end: 5)
        #expect(first.offsets == [])
        let second = bench.read([bench.entry(bench.message(9, .high)), bench.entry(bench.message(1, .medium))], end: 9)
        #expect(second.offsets == [9, 1])
    }

    @Test func aMessageLargerThanTheWindowGoesAlone() throws {
        let bench = try SessionBench(bytes: 100)
        #expect(bench.commit(bench.message(1, bytes: 10)) != nil)
        #expect(bench.commit(bench.message(2, bytes: 500)) == nil)
        try bench.ack(1)
        let request = try #require(bench.nextRead())
        #expect(request.oversizeFirst)
        #expect(bench.finishRead([bench.entry(bench.message(2, bytes: 500))], end: 2).offsets == [2])
        #expect(bench.commit(bench.message(3, .high)) == nil)
    }

    @Test func aLargeMessageThatDoesNotFitIsNotAskedForAgainAndAgain() throws {
        let bench = try SessionBench(bytes: 100)
        #expect(bench.commit(bench.message(1, bytes: 10)) != nil)
        #expect(bench.commit(bench.message(2, bytes: 500)) == nil)
        #expect(bench.read([], more: [false, true, false], end: 2).offsets == [])
        #expect(!bench.wantsToRead())
        try bench.ack(1)
        #expect(bench.wantsToRead())
    }

    /// The ack comes while the read that finds no room is on its way.
    @Test func roomThatOpensDuringAReadIsNotForgotten() throws {
        let bench = try SessionBench(bytes: 100)
        #expect(bench.commit(bench.message(1, bytes: 10)) != nil)
        #expect(bench.commit(bench.message(2, bytes: 500)) == nil)
        #expect(bench.wantsToRead())
        try bench.ack(1)
        #expect(bench.finishRead([], more: [false, true, false], end: 2).offsets == [])
        #expect(bench.wantsToRead())
    }

    @Test func aSocketThatTakesDuringAReadIsNotForgotten() throws {
        let bench = try SessionBench(mode: .none, bytes: 100)
        #expect(bench.commit(bench.message(1, bytes: 10)) != nil)
        #expect(bench.commit(bench.message(2, bytes: 500)) == nil)
        #expect(bench.wantsToRead())
        bench.session.socketTook()
        #expect(bench.finishRead([], more: [false, true, false], end: 2).offsets == [])
        #expect(bench.wantsToRead())
    }

    @Test func onlyOneReadIsUnderWay() throws {
        let bench = try SessionBench(isCaughtUp: false)
        #expect(bench.wantsToRead())
        #expect(!bench.wantsToRead())
        bench.session.readFailed()
        #expect(bench.wantsToRead())
    }

    @Test func aReadAsksForNoMoreThanTheShares() throws {
        let bench = try SessionBench(window: 8, bytes: 800, isCaughtUp: false)
        let request = try #require(bench.nextRead())
        #expect([request.messages, request.mediumAndLow, request.low] == [8, 6, 4])
        #expect([request.bytes, request.mediumAndLowBytes, request.lowBytes] == [800, 600, 400])
    }

    @Test func whatIsCommittedAfterTheSnapshotIsNotTakenForSent() throws {
        let bench = try SessionBench(isCaughtUp: false)
        #expect(bench.wantsToRead())
        #expect(bench.commit(bench.message(3)) == nil)
        #expect(bench.finishRead([], end: 2).offsets == [])
        #expect(!bench.session.isCaughtUp)
        #expect(bench.read([bench.entry(bench.message(3))], end: 3).offsets == [3])
    }

    @Test func anExpiredMessageIsNotSent() throws {
        let bench = try SessionBench()
        #expect(bench.commit(bench.message(1, expiresAt: 1_000)) == nil)
        #expect(bench.wantsToRead())
        #expect(bench.finishRead([bench.entry(bench.message(1, expiresAt: 1_000))], end: 1).offsets == [])
        #expect(bench.session.isCaughtUp)
    }

    @Test func ttlZeroGoesToWhoeverCanTakeItNow() throws {
        let bench = try SessionBench(window: 2)
        #expect(bench.commit(bench.message(1, .high, expiresAt: 0, liveOnly: true)) != nil)
        #expect(bench.commit(bench.message(2, .high)) != nil)
        #expect(bench.commit(bench.message(3, .high, expiresAt: 0, liveOnly: true)) == nil)
        #expect(bench.session.isCaughtUp)
    }

    @Test func withoutAcksTheWindowCountsWhatTheSocketHasNotTaken() throws {
        let bench = try SessionBench(mode: .none, window: 1)
        #expect(bench.commit(bench.message(1, .high)) != nil)
        #expect(bench.commit(bench.message(2, .high)) == nil)
        bench.session.socketTook()
        #expect(bench.read([bench.entry(bench.message(2, .high))], end: 2).offsets == [2])
        #expect(bench.session.acked == Positions())
    }

    @Test func aDrainingOrClosedSessionSendsNothing() throws {
        let bench = try SessionBench()
        #expect(bench.commit(bench.message(1)) != nil)
        bench.session.drained()
        #expect(bench.commit(bench.message(2)) == nil)
        #expect(!bench.wantsToRead())
        bench.session.closed()
        #expect(bench.commit(bench.message(3)) == nil)
    }
}
