import MartletNode
import MartletTestSupport
import Testing

@Suite struct TimerWheelTests {
    final class Entry: TimerWheelEntry {
        let number: Int
        var dueTick: Int64 = -1
        var wheelNext: Entry?
        unowned(unsafe) var wheelPrevious: Entry?
        init(_ number: Int) { self.number = number }
    }

    private let tick = TimerWheel<Entry>.tickMs

    /// The tick at which an entry that is due then comes, if the wheel stands at `now`.
    private func tick(due: Int64, now: Int64) -> Int64 { max(now / self.tick + 1, (due + self.tick - 1) / self.tick) }

    @Test(arguments: 1...20) func agreesWithANaiveModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var now: Int64 = 1_000_000 + Int64(seed)
        var wheel = TimerWheel<Entry>(now: now)
        let entries = (0..<60).map { Entry($0) }
        var model: [Int: Int64] = [:]
        for _ in 0..<3_000 {
            let entry = entries[random.below(entries.count)]
            switch random.below(10) {
            case 0..<4:
                wheel.remove(entry)
                // From the past to three turns of the wheel ahead.
                let due = now - 500 + Int64(random.below(300_000))
                wheel.add(entry, due: due)
                model[entry.number] = self.tick(due: due, now: now)
            case 4..<6:
                wheel.remove(entry)
                model[entry.number] = nil
            default:
                // Mostly a tick or less; now and then a pause of more than a turn.
                now += Int64(random.chance(3) ? random.below(400_000) : random.below(250))
                let due = Set(wheel.advance(to: now).map(\.number))
                let expected = Set(model.filter { $0.value <= now / self.tick }.keys)
                #expect(due == expected)
                for number in expected { model[number] = nil }
            }
            #expect(wheel.count == model.count)
        }
        now += 1_000_000
        #expect(Set(wheel.advance(to: now).map(\.number)) == Set(model.keys))
        #expect(wheel.count == 0)
    }

    @Test func aTimeAfterATurnOfTheWheelDoesNotComeEarly() {
        var wheel = TimerWheel<Entry>(now: 0)
        let entry = Entry(1)
        let turn = 1_024 * self.tick
        wheel.add(entry, due: turn * 2 + self.tick * 5)
        for turns in Int64(0)..<2 { #expect(wheel.advance(to: turn * turns + self.tick * 5).isEmpty) }
        #expect(wheel.advance(to: turn * 2 + self.tick * 4).isEmpty)
        #expect(wheel.advance(to: turn * 2 + self.tick * 5).count == 1)
    }

    @Test func timeThatDoesNotMoveWakesNobodyTwice() {
        var wheel = TimerWheel<Entry>(now: 1_000)
        let entry = Entry(1)
        wheel.add(entry, due: 0)
        #expect(wheel.advance(to: 1_000).isEmpty)
        #expect(wheel.advance(to: 1_000 + self.tick).count == 1)
        #expect(wheel.advance(to: 1_000 + self.tick).isEmpty)
        wheel.add(entry, due: 0)
        #expect(wheel.advance(to: 500).isEmpty)
        #expect(wheel.advance(to: 1_000 + self.tick * 2).count == 1)
    }

    @Test func removingTwiceIsHarmless() {
        var wheel = TimerWheel<Entry>(now: 0)
        let entries = (0..<3).map { Entry($0) }
        for entry in entries { wheel.add(entry, due: 1_000) }
        wheel.remove(entries[1])
        wheel.remove(entries[1])
        #expect(wheel.count == 2)
        #expect(Set(wheel.advance(to: 2_000).map(\.number)) == [0, 2])
    }
}
