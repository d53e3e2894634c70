import MartletCore
import Testing

@Suite struct SessionCollapseTests {
    @Test func theNewestTakesTheOlderOnesPlaceAndComesOnce() throws {
        let bench = try SessionBench(window: 8, isCaughtUp: false)
        let newest = bench.message(3, key: "k")
        let out = bench.read(
            [bench.entry(newest, place: 1), bench.entry(bench.message(2)), bench.entry(newest)], end: 3)
        #expect(out.offsets == [3, 2])
    }

    @Test func itComesOnceThoughItsOwnPlaceIsReadLater() throws {
        let bench = try SessionBench(window: 1, isCaughtUp: false)
        let newest = bench.message(3, .high, key: "k")
        #expect(bench.read([bench.entry(newest, place: 1)], more: [true, false, false], end: 3).offsets == [3])
        #expect(bench.session.acked[.userHigh] == 0)
        try bench.ack(1)
        #expect(bench.read([bench.entry(bench.message(2, .high))], more: [true, false, false], end: 3).offsets == [2])
        try bench.ack(2)
        #expect(bench.read([bench.entry(newest)], end: 3).offsets == [])
        #expect(bench.session.isCaughtUp)
    }

    /// Both are committed when the read runs, and announced only after it ended.
    @Test func itComesOnceThoughItIsAnnouncedAfterItWasSentEarly() throws {
        let bench = try SessionBench()
        #expect(bench.commit(bench.message(1, expiresAt: 0)) == nil)
        let newest = bench.message(7, .high, key: "k")
        #expect(bench.read([bench.entry(newest, place: 5)], more: [true, false, false], end: 7).offsets == [7])
        #expect(bench.commit(bench.message(5, .high, key: "k")) == nil)
        #expect(bench.commit(newest, superseded: 5) == nil)
        #expect(bench.commit(bench.message(8, .high))?.message.offset == 8)
    }

    @Test func aPlaceCollapsedIntoAnotherLaneIsPassedOver() throws {
        let bench = try SessionBench(isCaughtUp: false)
        let out = bench.read([bench.entry(bench.message(2, .high, key: "k")), bench.skipped(1)], end: 2)
        #expect(out.offsets == [2])
        #expect(bench.session.reached[.userMedium] == 2)
    }

    @Test func whatIsReplacedDuringAReadIsNotSent() throws {
        let bench = try SessionBench(isCaughtUp: false)
        #expect(bench.wantsToRead())
        #expect(bench.commit(bench.message(5, .low, key: "k"), superseded: 1) == nil)
        #expect(bench.finishRead([bench.entry(bench.message(1, key: "k"))], end: 1).offsets == [])
    }

    @Test func whatIsRecalledDuringAReadIsNotSent() throws {
        let bench = try SessionBench(isCaughtUp: false)
        #expect(bench.wantsToRead())
        bench.session.recalled(offset: 1)
        let out = bench.finishRead([bench.entry(bench.message(1)), bench.entry(bench.message(2))], end: 2)
        #expect(out.offsets == [2])
    }

    @Test func tooManyRecallsDuringAReadMakeItBeDoneAgain() throws {
        let bench = try SessionBench(isCaughtUp: false)
        #expect(bench.wantsToRead())
        for offset in 1...100 { bench.session.recalled(offset: UInt64(offset)) }
        #expect(bench.finishRead([bench.entry(bench.message(1))], end: 200).offsets == [])
        #expect(!bench.session.isCaughtUp)
        #expect(bench.read([bench.entry(bench.message(150))], end: 200).offsets == [150])
    }

    @Test func beyondTheLimitOfEarlyOnesTheyWaitForTheirOwnPlace() throws {
        let bench = try SessionBench(window: 1_024, bytes: 100_000, isCaughtUp: false)
        let newest = (1...300).map { bench.message(1_000 + UInt64($0), .high, key: "k\($0)") }
        let places = newest.enumerated().map { bench.entry($0.element, place: UInt64($0.offset + 1)) }
        let early = bench.read(places, more: [true, false, false], end: 2_000).offsets
        #expect(early.count < 300)
        let late = bench.read(newest.map { bench.entry($0) }, end: 2_000).offsets
        #expect(Set(early + late).count == 300)
        #expect(early.count + late.count == 300)
    }

    /// Their own places may never be read: they expire, or are recalled.
    @Test func earlyOnesAreForgottenOnceTheirOwnPlaceIsBehind() throws {
        let bench = try SessionBench(mode: .none, window: 1_024, bytes: 100_000, isCaughtUp: false)
        for round in 0..<3 as Range<UInt64> {
            let base = round * 10_000
            let newest = (1...200).map { bench.message(base + 5_000 + $0, .high, key: "k\($0)") }
            let places = newest.enumerated().map { bench.entry($0.element, place: base + UInt64($0.offset) + 1) }
            #expect(bench.read(places, end: base + 9_999).offsets.count == 200)
            bench.session.socketTook()
            #expect(bench.commit(bench.message(base + 10_000, .high, expiresAt: 0)) == nil)
        }
    }
}
