import Foundation
import MartletClient
import Testing

/// Who gets what, and which position that makes.
struct DeliveriesTests {
    static func message(_ id: String, type: String? = nil, topic: String? = nil, seq: UInt64? = nil, cursor: String? = nil) -> IncomingMessage {
        IncomingMessage(
            seq: seq, cursor: cursor ?? "after-\(id)", message: Message(id: id, at: .distantPast, type: type, topic: topic, json: Data(id.utf8)))
    }

    static func open() -> Deliveries {
        var deliveries = Deliveries()
        deliveries.opened(cursor: "start")
        return deliveries
    }

    @Test func isAckedWhenEveryoneHasHandledIt() {
        var deliveries = Self.open()
        _ = deliveries.add(1, .inbox(type: nil))
        _ = deliveries.add(2, .inbox(type: "a"))
        #expect(deliveries.receive(Self.message("m", type: "a", seq: 1)).ready == [1, 2])
        #expect(deliveries.next(for: 1)?.id == "m" && deliveries.next(for: 2)?.id == "m")
        #expect(deliveries.next(for: 1) == nil)
        #expect(deliveries.done("m", by: 1).acks.isEmpty)
        let last = deliveries.done("m", by: 2)
        #expect(last.acks == [1] && last.isMoved)
        #expect(deliveries.cursor == "after-m")
        #expect(deliveries.done("m", by: 2).acks.isEmpty)
    }

    @Test func theCursorMovesOverWhatIsHandledWithoutHoles() {
        var deliveries = Self.open()
        _ = deliveries.add(1, .inbox(type: nil))
        for seq in 1...3 { _ = deliveries.receive(Self.message("\(seq)", seq: UInt64(seq))) }
        for _ in 1...3 { _ = deliveries.next(for: 1) }
        #expect(deliveries.done("2", by: 1).acks == [2])
        #expect(deliveries.cursor == "start")
        #expect(deliveries.ahead == ["2"])
        _ = deliveries.done("1", by: 1)
        #expect(deliveries.cursor == "after-2")
        _ = deliveries.done("3", by: 1)
        #expect(deliveries.cursor == "after-3" && deliveries.ahead.isEmpty)
    }

    @Test func oneThatIsHeldCostsNothingForThoseAfterIt() {
        var ledger = Ledger(cursor: "start")
        let held = ledger.add(cursor: "c0", id: "0")
        for number in 1...1_000 {
            let place = ledger.add(cursor: "c\(number)", id: "\(number)")
            #expect(ledger.done(place) == false)
        }
        #expect(ledger.count == 2 && ledger.ahead.count == 256 && ledger.ahead.last == "1000")
        let last = ledger.add(cursor: nil, id: "without a place")
        _ = ledger.done(last)
        #expect(ledger.done(held) == true)
        #expect(ledger.cursor == "c1000" && ledger.ahead == ["without a place"] && ledger.count == 0)
    }

    @Test func theLedgerIsRightInAnyOrder() {
        var random = SystemRandomNumberGenerator()
        for _ in 1...200 {
            var ledger = Ledger(cursor: nil)
            let numbers = (0..<20).map { ledger.add(cursor: $0 % 3 == 0 ? nil : "\($0)", id: "\($0)") }
            var done: Set<Int> = []
            for place in (0..<20).shuffled(using: &random) {
                _ = ledger.done(numbers[place])
                done.insert(place)
                let prefix = (0..<20).prefix { done.contains($0) }
                let last = prefix.last { $0 % 3 != 0 }
                #expect(ledger.cursor == last.map { "\($0)" })
                #expect(Set(ledger.ahead) == Set(done.filter { $0 > last ?? -1 }.map { "\($0)" }))
            }
        }
    }

    @Test func whatComesAgainIsNotHandledAgain() {
        var deliveries = Self.open()
        _ = deliveries.add(1, .inbox(type: nil))
        for id in ["handled", "inHand", "queued"] { _ = deliveries.receive(Self.message(id, seq: 1)) }
        _ = deliveries.next(for: 1)
        _ = deliveries.done("handled", by: 1)
        #expect(deliveries.next(for: 1)?.id == "inHand")
        // The ack was lost with the connection: all three come again, with other numbers.
        deliveries.opened(cursor: "start")
        #expect(deliveries.receive(Self.message("handled", seq: 4)).acks == [4])
        #expect(deliveries.receive(Self.message("inHand", seq: 5)).ready.isEmpty)
        #expect(deliveries.receive(Self.message("queued", seq: 6)).ready.isEmpty)
        #expect(deliveries.done("inHand", by: 1).acks == [5])
        #expect(deliveries.next(for: 1)?.id == "queued")
        #expect(deliveries.done("queued", by: 1).acks == [6])
        #expect(deliveries.next(for: 1) == nil)
        #expect(deliveries.cursor == "after-queued")
    }

    @Test func whatWasHandledInAnEarlierLifeIsKnown() {
        var deliveries = Deliveries()
        deliveries.restore(cursor: "c", ahead: ["x"])
        deliveries.opened(cursor: "c")
        _ = deliveries.add(1, .inbox(type: nil))
        #expect(deliveries.receive(Self.message("x", seq: 1)).acks == [1])
        #expect(deliveries.next(for: 1) == nil)
    }

    @Test func messagesWaitWhileNobodyIsThere() {
        var deliveries = Self.open()
        let parked = deliveries.receive(Self.message("m", type: "a", seq: 1))
        #expect(parked.acks.isEmpty)
        #expect(deliveries.add(1, .inbox(type: "b")).acks == [1], "of a type that nobody ever asked for")
        #expect(deliveries.receive(Self.message("n", type: "b", seq: 2)).ready == [1])
        _ = deliveries.remove(1)
        // A type that was asked for once waits for its loop to come back.
        #expect(deliveries.receive(Self.message("o", type: "b", seq: 3)).acks.isEmpty)
        #expect(deliveries.add(2, .inbox(type: "b")).ready == [2])
        #expect(deliveries.next(for: 2)?.id == "n" && deliveries.next(for: 2)?.id == "o")
    }

    @Test func aLoopThatEndsLeavesWhatItHadToTheNext() {
        var deliveries = Self.open()
        _ = deliveries.add(1, .inbox(type: nil))
        for id in ["a", "b", "c"] { _ = deliveries.receive(Self.message(id, seq: 1)) }
        #expect(deliveries.next(for: 1)?.id == "a")
        #expect(deliveries.remove(1).acks.isEmpty)
        _ = deliveries.add(2, .inbox(type: nil))
        #expect(["a", "b", "c"] == (1...3).compactMap { _ in deliveries.next(for: 2)?.id })
    }

    @Test func topicsGoToTheirFilters() {
        var deliveries = Self.open()
        _ = deliveries.add(1, .topic("room/+"))
        _ = deliveries.add(2, .topic("room/1"))
        #expect(deliveries.receive(Self.message("m", topic: "room/1")).ready == [1, 2])
        #expect(deliveries.receive(Self.message("n", topic: "room/2")).ready == [1])
        #expect(deliveries.receive(Self.message("o", topic: "hall/1")).ready.isEmpty)
        _ = deliveries.remove(1)
        _ = deliveries.next(for: 2)
        _ = deliveries.done("m", by: 2)
        #expect(deliveries.cursor == "after-o", "what the ended loop had of a topic is gone")
    }

    @Test func isFullWhenNobodyReads() {
        var deliveries = Self.open()
        _ = deliveries.add(1, .topic("t"))
        for number in 1...1_000 { _ = deliveries.receive(Self.message("\(number)", topic: "t")) }
        #expect(deliveries.isFull)
        _ = deliveries.next(for: 1)
        #expect(!deliveries.isFull)
        _ = deliveries.remove(1)
        _ = deliveries.add(2, .topic("t"))
        for number in 2_000...2_998 { _ = deliveries.receive(Self.message("\(number)", topic: "t")) }
        #expect(!deliveries.isFull, "what an ended loop had does not count")
    }

    @Test func filtersAreComparedByteByByte() {
        #expect(TopicFilter.matches("a/#", "a") && TopicFilter.matches("a/#", "a/b/c") && TopicFilter.matches("+/b", "a/b"))
        #expect(!TopicFilter.matches("+", "a/b") && !TopicFilter.matches("#", "$sys") && !TopicFilter.matches("a/+", "a"))
        #expect(!TopicFilter.matches("caf\u{e9}", "cafe\u{301}"))
        #expect(TopicFilter.list(["50%\u{301}", "a,\u{308}"]) == "50%25\u{301},a%2C\u{308}")
    }
}
