import MartletCore
import Testing

/// Numbers of messages under way.
struct FlightsTests {
    private var flights = Flights()

    private mutating func start(_ step: Flights.Step, _ offset: UInt64) -> UInt16 { self.flights.start(step, .durable, offset: offset) }
    private mutating func acked(_ number: UInt16) -> UInt64? { self.flights.land(number, in: .sent, .released)?.offset }
    private mutating func refused(_ number: UInt16) -> UInt64? { self.flights.land(number, in: .sent, .sentOnce)?.offset }

    @Test mutating func numbersGrowAndBeginAnewAfterTheLast() {
        var numbers = [self.start(.sent, 7), self.start(.sentOnce, 9)]
        self.flights = Flights(all: self.flights.all, lastNumber: Flights.lastOfAll - 1)
        numbers += [self.start(.sent, 10), self.start(.sent, 11)]
        // 1 and 2 are under way.
        #expect(numbers == [1, 2, Flights.lastOfAll, 3])
        #expect(self.flights.last == 3)
        #expect(self.flights.all.map(\.number) == numbers)
    }

    @Test mutating func eachAckHasItsStep() {
        let sent = self.start(.sent, 1)
        let once = self.start(.sentOnce, 2)
        // A receipt is for what is sent exactly once.
        let receipts = [sent, once, once, 99].map { self.flights.received($0) }
        #expect(receipts == [false, true, true, false])
        let answers = [self.refused(once), self.acked(once), self.acked(once), self.acked(sent), self.acked(99)]
        #expect(answers == [nil, 2, nil, 1, nil])
        #expect(self.flights.count == 0)
        let other = self.start(.sentOnce, 3)
        let refusals = [self.acked(other), self.refused(other), self.refused(other)]
        #expect(refusals == [nil, 3, nil])
    }

    @Test mutating func theOldestIsWhatIsStillToBeReceived() {
        let first = self.flights.start(.sentOnce, .durable, offset: 4)
        let second = self.flights.start(.sent, .memory, offset: 2)
        _ = self.flights.start(.sent, .durable, offset: 3, isApart: true)
        _ = self.flights.start(.sent, .durable, offset: 8)
        #expect(self.flights.oldest(in: .durable) == 4)
        #expect(self.flights.oldest(in: .memory) == 2)
        _ = self.flights.received(first)
        #expect(self.flights.oldest(in: .durable) == 8)
        _ = self.flights.land(second, in: .sent)
        #expect(self.flights.oldest(in: .memory) == nil)
    }
}
