import MartletCore
import MartletTestSupport
import MartletWire
import Testing

/// What is published to a group is dealt to members that have room, and nothing is lost or dealt twice at once.
@Suite struct ShareDealerTests {
    private func message(_ offset: UInt64, qos: UInt8 = 1, expiresAt: Int64 = .max) -> StoredMessage {
        var marks = MessageMarks()
        marks.qos = qos
        return StoredMessage(
            id: MessageID(high: offset, low: 0), offset: offset, priority: .medium, at: 0, expiresAt: expiresAt, collapseKey: nil, marks: marks,
            fragment: [])
    }

    /// Offers so many messages with the next offsets.
    private func offer(_ dealer: inout ShareDealer, _ offsets: ClosedRange<UInt64>, qos: UInt8 = 1) {
        for offset in offsets { dealer.offer(self.message(offset, qos: qos), bytes: 100, isQueued: qos > 0) }
    }

    private func deal(_ dealer: inout ShareDealer, now: Int64 = 0) -> [ShareDealer.Hand] {
        var isDropped = false
        return dealer.deal(now: now, isDropped: &isDropped)
    }

    @Test("members take turns") func turns() {
        var dealer = ShareDealer(windowBytes: 65_536)
        for id in UInt64(1)...3 { dealer.join(id, qos: 1, room: 10) }
        self.offer(&dealer, 1...6)
        #expect(self.deal(&dealer).map(\.member) == [1, 2, 3, 1, 2, 3])
    }

    @Test("a member that acks goes on, whatever the others do") func stalled() {
        var dealer = ShareDealer(windowBytes: 65_536)
        for id in UInt64(1)...60 { dealer.join(id, qos: 1, room: 20) }
        dealer.join(100, qos: 1, room: 20)
        var got = 0
        for offset in UInt64(1)...5_000 {
            self.offer(&dealer, offset...offset)
            for hand in self.deal(&dealer) where hand.member == 100 {
                got += 1
                let isLanded = dealer.landed(hand.ticket, 100)
                #expect(isLanded)
            }
            #expect(dealer.isReady)
        }
        #expect(got == 5_000 - 60 * 20 && dealer.unacked.count == 60 * 20)
    }

    @Test("what one leaves goes to another, oldest first, and its late ack counts for nobody") func leaves() {
        var dealer = ShareDealer(windowBytes: 65_536)
        dealer.join(1, qos: 1, room: 3)
        self.offer(&dealer, 1...5)
        let first = self.deal(&dealer)
        #expect(first.map(\.message.offset) == [1, 2, 3] && !dealer.isReady)
        let isLanded = dealer.landed(first[1].ticket, 1)
        #expect(isLanded)
        dealer.join(2, qos: 1, room: 10)
        dealer.leave(1)
        #expect(self.deal(&dealer).map(\.message.offset) == [1, 3, 4, 5])
        let isLate = !dealer.landed(first[0].ticket, 1)
        #expect(isLate)
        #expect(dealer.unacked == [1, 3, 4, 5])
    }

    @Test("who had no room is dealt nothing until it says that it has") func returned() {
        var dealer = ShareDealer(windowBytes: 65_536)
        dealer.join(1, qos: 1, room: 10)
        self.offer(&dealer, 1...4)
        let hands = self.deal(&dealer)
        let stops = hands.dropFirst().map { dealer.returned($0.ticket, 1) }
        #expect(stops == [true, false, false])
        self.offer(&dealer, 5...5)
        #expect(self.deal(&dealer).isEmpty && !dealer.isReady)
        dealer.hasRoom(1, 2)
        #expect(self.deal(&dealer).map(\.message.offset) == [2, 3])
        dealer.hasRoom(1, 4)
        #expect(self.deal(&dealer).map(\.message.offset) == [4, 5])
    }

    @Test("a member has a window at most, QoS 0 or not", arguments: [UInt8(0), 1]) func window(qos: UInt8) {
        var dealer = ShareDealer(windowBytes: 1_000)
        dealer.join(1, qos: qos, room: 1_000)
        self.offer(&dealer, 1...50)
        let hands = self.deal(&dealer)
        #expect(hands.count == 10)
        let landings = hands.map { dealer.landed($0.ticket, 1) }
        #expect(landings == Array(repeating: true, count: 10))
        #expect(self.deal(&dealer).count == 10)
    }

    @Test("QoS 0 does not wait for acks") func lines() {
        var dealer = ShareDealer(windowBytes: 65_536)
        dealer.join(1, qos: 1, room: 1)
        self.offer(&dealer, 1...2)
        self.offer(&dealer, 3...4, qos: 0)
        #expect(self.deal(&dealer).map(\.message.offset) == [1, 3, 4])
        #expect(dealer.unacked == [1, 2])
    }

    @Test("what has expired goes to nobody") func expired() {
        var dealer = ShareDealer(windowBytes: 65_536)
        dealer.offer(self.message(1, expiresAt: 10), bytes: 1, isQueued: true)
        dealer.offer(self.message(2), bytes: 1, isQueued: true)
        dealer.join(1, qos: 1, room: 10)
        var isDropped = false
        #expect(dealer.deal(now: 10, isDropped: &isDropped).map(\.message.offset) == [2])
        #expect(isDropped && dealer.unacked == [2])
    }

    @Test("over random comings, goings, acks and refusals each message is with one member or waits, and lands once", arguments: UInt64(0)..<200)
    func random(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var dealer = ShareDealer(windowBytes: 2_000)
        var held: [UInt64: [UInt64: UInt64]] = [:]
        var landed: Set<UInt64> = []
        var offered: UInt64 = 0
        var nextMember: UInt64 = 0
        for _ in 0..<400 {
            switch random.next() % 8 {
            case 0 where held.count < 6:
                nextMember += 1
                held[nextMember] = [:]
                dealer.join(nextMember, qos: UInt8(random.next() % 2), room: Int(random.next() % 20))
            case 1:
                guard let id = held.keys.sorted().randomElement(using: &random) else { break }
                held[id] = nil
                dealer.leave(id)
            case 2, 3, 4:
                guard let id = held.keys.sorted().randomElement(using: &random), let one = held[id]?.min(by: { $0.key < $1.key }) else { break }
                held[id]?[one.key] = nil
                let isLanded = dealer.landed(one.key, id) && landed.insert(one.value).inserted
                #expect(isLanded)
            case 5:
                guard let id = held.keys.sorted().randomElement(using: &random), let one = held[id]?.max(by: { $0.key < $1.key }) else { break }
                held[id]?[one.key] = nil
                _ = dealer.returned(one.key, id)
            case 6: if let id = held.keys.sorted().randomElement(using: &random) { dealer.hasRoom(id, Int(random.next() % 10)) }
            default:
                let count = random.next() % 10
                guard dealer.isReady, count > 0 else { break }
                self.offer(&dealer, offered + 1...offered + count, qos: UInt8(random.next() % 3))
                offered += count
            }
            for hand in self.deal(&dealer) {
                let isNew = held[hand.member] != nil && held[hand.member]?.updateValue(hand.message.offset, forKey: hand.ticket) == nil
                #expect(isNew)
            }
            let all = held.values.flatMap(\.values)
            #expect(Set(all).count == all.count && landed.isDisjoint(with: all))
        }
        for id in held.keys { dealer.leave(id) }
        dealer.join(0, qos: 1, room: .max / 2)
        while case let hands = self.deal(&dealer), !hands.isEmpty {
            for hand in hands {
                let isLanded = dealer.landed(hand.ticket, 0) && landed.insert(hand.message.offset).inserted
                #expect(isLanded)
            }
        }
        #expect(landed.count == offered && dealer.isReady && dealer.unacked.isEmpty)
    }
}
