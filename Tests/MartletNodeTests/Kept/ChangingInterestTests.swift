import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Messages of a topic while it changes whether sessions wait for them: those go through the store, others do not.
@Suite struct ChangingInterestTests {
    private let fixture = KeptFixture(steps: true)
    private let kept: Device
    private let plain: Device

    init() throws {
        self.kept = self.fixture.device("kept")
        self.plain = self.fixture.device("plain")
        self.fixture.connect(self.kept)
        self.fixture.connect(self.plain, expiry: 0)
        self.fixture.run()
        try self.fixture.subscribe(self.plain, "news", qos: 2)
        self.fixture.run()
    }

    private func publish(_ text: String, key: String? = nil, qos: UInt8 = 2) -> Outcomes {
        var request = self.fixture.request("news", text, qos: qos)
        if let key { request.idempotency = .init(key: key, digest: Array(text.utf8)) }
        let outcomes = Outcomes()
        self.fixture.node.publish([request]) { outcomes.set($0) }
        self.fixture.settle()
        return outcomes
    }

    /// One message is in the store when the last session that waited goes: the next one does not overtake it.
    @Test(arguments: [UInt8(1), 2])
    func whatFollowsDoesNotOvertake(qos: UInt8) throws {
        try self.fixture.subscribe(self.kept, "#", qos: 1)
        self.fixture.run()
        let first = self.publish("0", qos: qos)
        _ = try self.fixture.unsubscribe(self.kept, "#")
        let next = self.publish("1", qos: qos)
        #expect(first.value.isEmpty && next.value.isEmpty)
        self.fixture.run()
        #expect(first.value.isStored && next.value.isStored)
        #expect(self.plain.delivered == ["0", "1"])
        #expect(self.kept.delivered == ["0"] || self.kept.delivered.isEmpty)
        // From then on nothing goes through the store, and nothing stays there.
        let last = self.publish("2", qos: qos)
        #expect(last.value.isStored)
        self.fixture.run()
        #expect(self.plain.delivered == ["0", "1", "2"])
        self.fixture.advance(2_000)
        self.fixture.run()
        #expect(self.fixture.waiting("news") == 0)
    }

    /// What was not stored keeps nothing waiting.
    @Test func whatFailsHoldsNothingUp() throws {
        try self.fixture.subscribe(self.kept, "#", qos: 1)
        self.fixture.run()
        let first = self.publish("0")
        self.fixture.store.cannotWrite = true
        self.fixture.run()
        self.fixture.store.cannotWrite = false
        #expect(!first.value.isEmpty && !first.value.isStored)
        self.kept.breaks()
        self.fixture.connect(self.kept, clean: true, expiry: 0)
        self.fixture.run()
        #expect(self.publish("1").value.isStored)
        self.fixture.run()
        #expect(self.plain.delivered == ["1"])
    }

    /// An idempotency key is known whichever way the message went.
    @Test(arguments: [true, false])
    func aKeyIsKnownWhoeverWaits(waitsFirst: Bool) throws {
        for round in [waitsFirst, !waitsFirst] {
            if round {
                try self.fixture.subscribe(self.kept, "news", qos: 2)
            } else {
                _ = try self.fixture.unsubscribe(self.kept, "news")
            }
            self.fixture.run()
            let same = self.publish("0", key: "k")
            let other = self.publish("another", key: "k")
            self.fixture.run()
            #expect(same.value.isStored)
            guard case .conflict? = other.value.first else {
                Issue.record("the key is another message's: \(other.value)")
                continue
            }
        }
        #expect(self.plain.delivered == ["0"])
        #expect(self.kept.delivered == (waitsFirst ? ["0"] : []))
    }

    /// Who asks for another QoS while a message is in the store gets it, once.
    @Test(arguments: [UInt8(0), 1, 2], [UInt8(1), 2])
    func anotherQoSLosesNothing(after: UInt8, before: UInt8) throws {
        try self.fixture.subscribe(self.kept, "news", qos: before)
        self.fixture.run()
        for steps in 0..<4 {
            let text = "\(steps)"
            _ = self.publish(text)
            if steps > 0 { self.fixture.store.commit(steps) }
            if steps > 1 { while self.fixture.store.deliver() {} }
            if steps > 2 { self.fixture.settle() }
            try self.fixture.subscribe(self.kept, "news", qos: steps % 2 == 0 ? after : before, settle: false)
            self.fixture.run()
            let count = self.kept.delivered.count { $0 == text }
            #expect(count == 1, "\(text): \(self.kept.delivered)")
        }
    }
}
