import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// Retained values for clients that ack what they get.
@Suite struct AckedRetainedTests {
    private let fixture = KeptFixture(topics: ["stored": TopicTests.durable])

    private func fill(_ space: String, _ count: Int) -> [String] {
        let texts = (0..<count).map { "\($0 + 100)" }
        for text in texts { self.fixture.publish("\(space)/\(text)", text + String(repeating: "x", count: 10_000), retain: .set) }
        return texts
    }

    private func delivered(_ device: Device) -> [String] { device.delivered.map { String($0.prefix(3)) } }

    @Test(arguments: [0, 3_600], ["set", "stored"])
    func whoDoesNotReadAndSubscribesAgainIsSentNoMore(expiry: Int, space: String) throws {
        let texts = self.fill(space, 20)
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, expiry: expiry)
        connection.takes = false
        for round in 0..<30 { try self.fixture.subscribe(device, round % 2 == 0 ? "\(space)/#" : "\(space)/+", qos: 0) }
        #expect(connection.sent.count <= 4)
        for _ in 0..<100 {
            connection.handle?.socketTook()
            self.fixture.settle()
        }
        // Each of both filters brings them once after what it was asked for last.
        #expect(Set(self.delivered(device)) == Set(texts))
        #expect(connection.sent.count >= 40 && connection.sent.count <= 44)
    }

    /// What is left is sent by the next connection, and what was acked does not come again.
    @Test(arguments: [true, false], ["set", "stored"])
    func whatIsLeftComesWithTheNextConnection(crashes: Bool, space: String) throws {
        let texts = self.fill(space, 40)
        let device = self.fixture.device("a")
        self.fixture.connect(device, window: 3)
        try self.fixture.subscribe(device, "\(space)/#", qos: 1)
        var rounds = 0
        while device.delivered.count < 20 {
            #expect(device.answer(1))
            self.fixture.advance(300)
            rounds += 1
            try #require(rounds < 100)
        }
        if crashes {
            self.fixture.advance(1_000)
            self.fixture.crash()
            guard space == "stored" else { return }
        } else {
            device.breaks()
        }
        let before = device.delivered.count
        self.fixture.connect(device, window: 3)
        self.fixture.run()
        self.fixture.advance(500)
        self.fixture.run()
        #expect(Set(self.delivered(device)) == Set(texts))
        #expect(device.delivered.count <= before + 40 - before + 3)
    }

    /// What was under way comes under the number that it had, marked as a repeat and still as a value (MQTT-4.4.0-1), and QoS 2 is taken once.
    @Test(arguments: [UInt8(1), 2], ["set", "stored"])
    func whatWasUnderWayKeepsItsNumber(qos: UInt8, space: String) throws {
        let texts = self.fill(space, 12)
        for crashes in space == "stored" ? [false, true] : [false] {
            let device = self.fixture.device(crashes ? "b" : "a")
            self.fixture.connect(device, window: 5)
            try self.fixture.subscribe(device, "\(space)/#", qos: qos)
            self.fixture.advance(1_000)
            let before = device.sent
            #expect(before.count == 5)
            if crashes { self.fixture.crash() } else { device.breaks() }
            let connection = self.fixture.connect(device, window: 5)
            self.fixture.advance(500)
            #expect(connection.sent == before)
            #expect(connection.sent.allSatisfy { $0.ticket.isRepeated && $0.isRetained && $0.ticket.isRetained && $0.ticket.qos == qos })
            #expect(connection.sent.map(\.offset) == before.map(\.offset))
            self.fixture.run()
            #expect(Set(self.delivered(device)) == Set(texts))
            #expect(device.delivered.count == texts.count + (qos == 1 ? 5 : 0))
            #expect(device.once.isEmpty)
        }
    }

    /// With breaks at any moment, QoS 2 brings each value once, whichever of two filters that overlap it came by.
    @Test(arguments: 0..<40)
    func valuesComeOnceOverManyBreaks(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let space = seed % 2 == 0 ? "set" : "stored"
        let texts = self.fill(space, 30)
        let device = self.fixture.device("a")
        self.fixture.connect(device, window: 4)
        var wishes: [SubscribeWish] = []
        for text in ["\(space)/+", "\(space)/#"] {
            var wish = SubscribeWish(filter: try TopicFilter(parsing: text, limits: Limits()))
            wish.options.qos = 2
            wishes.append(wish)
        }
        try device.connection?.handle?.subscribe(wishes) { #expect($0 == nil) }
        self.fixture.settle()
        for _ in 0..<30 {
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                device.answer(Int.random(in: 1...3, using: &random))
                self.fixture.advance(50)
            }
            if space == "stored", Int.random(in: 0...3, using: &random) == 0 {
                // So that the store has what was answered.
                self.fixture.advance(1_000)
                self.fixture.crash()
            } else {
                device.breaks()
            }
            self.fixture.connect(device, window: 4)
            self.fixture.settle()
        }
        self.fixture.run()
        #expect(self.delivered(device).sorted() == texts.sorted())
        #expect(device.once.isEmpty)
    }

    /// What is published with retain after the SUBSCRIBE, while values are still to come, comes as a message only.
    @Test(arguments: [false, true], ["set", "stored"])
    func whatIsNewerIsAMessage(breaks: Bool, space: String) throws {
        let texts = self.fill(space, 20)
        let device = self.fixture.device("a")
        self.fixture.connect(device, window: 2)
        try self.fixture.subscribe(device, "\(space)/#", qos: 2)
        self.fixture.advance(50)
        for text in texts.suffix(5) { self.fixture.publish("\(space)/\(text)", "\(text)live", retain: .set) }
        if breaks {
            device.breaks()
            self.fixture.connect(device, window: 2)
        }
        self.fixture.run()
        self.fixture.advance(500)
        self.fixture.run()
        for text in texts.suffix(5) { #expect(device.delivered.filter { $0 == "\(text)live" }.count == 1) }
        #expect(device.delivered.count <= 25)
        #expect(Set(self.delivered(device)) == Set(texts))
    }

    /// What went out before its turn, for a message's sake, does not come again with the next connection.
    @Test func whatWentOutEarlyComesOnce() throws {
        let texts = self.fill("set", 20)
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, window: 10)
        connection.takes = false
        try self.fixture.subscribe(device, "set/#", qos: 2)
        self.fixture.advance(50)
        for text in texts.suffix(3) { self.fixture.publish("set/\(text)", "\(text)live") }
        self.fixture.advance(1_000)
        device.breaks()
        self.fixture.connect(device, window: 10)
        self.fixture.run()
        self.fixture.advance(500)
        self.fixture.run()
        #expect(
            device.delivered.sorted { $0.prefix(7) < $1.prefix(7) }.map { String($0.prefix(7)) }
                == (texts.map { $0 + "xxxx" } + texts.suffix(3).map { $0 + "live" }).sorted())
        #expect(device.once.isEmpty)
    }

    /// What comes again says the subscription that it came for.
    @Test func whatComesAgainHasItsIdentifier() throws {
        _ = self.fill("set", 1)
        let device = self.fixture.device("a")
        let first = self.fixture.connect(device, window: 5)
        for (identifier, filter) in [(UInt32(1), "set/+"), (2, "set/#")] {
            try self.fixture.subscribe(device, filter, qos: 1) { $0.identifier = identifier }
        }
        #expect(first.sent.map(\.ticket.identifier) == [1, 2])
        device.breaks()
        let second = self.fixture.connect(device, window: 5)
        #expect(second.sent.map(\.ticket.identifier) == [1, 2])
        #expect(second.sent.map(\.ticket.isRepeated) == [true, true])
    }

    /// A value that was replaced while it was under way is not sent again; the newer one waited if it is to be acked.
    @Test(arguments: [UInt8(1), 2], [UInt8(0), 1])
    func whatWasReplacedComesOnce(qos: UInt8, newer: UInt8) throws {
        for space in ["set", "stored"] {
            self.fixture.publish("\(space)/a", "old", retain: .set)
            let device = self.fixture.device(space)
            self.fixture.connect(device)
            try self.fixture.subscribe(device, "\(space)/#", qos: qos)
            #expect(device.delivered == ["old"])
            device.breaks()
            self.fixture.publish("\(space)/a", "new", qos: newer, retain: .set)
            let connection = self.fixture.connect(device)
            self.fixture.run()
            self.fixture.advance(500)
            #expect(connection.texts == ["new"])
            #expect(connection.sent.first?.isRetained == (newer == 0))
            #expect(connection.sent.first?.ticket.qos == newer)
            #expect(device.delivered == ["old", "new"])
            #expect(device.once.isEmpty)
        }
    }

    /// Offsets in memory begin anew with the server: what has the same one by then is another value.
    @Test func aNewHistoryHasOtherValues() throws {
        self.fixture.publish("set/a", "old", retain: .set)
        let device = self.fixture.device("a")
        self.fixture.connect(device)
        try self.fixture.subscribe(device, "set/#", qos: 2)
        self.fixture.advance(1_000)
        self.fixture.crash()
        self.fixture.publish("set/a", "new", qos: 0, retain: .set)
        self.fixture.connect(device)
        self.fixture.run()
        #expect(device.delivered == ["old", "new"])
        #expect(device.once.isEmpty)
    }

    /// What is published with retain where the store keeps no history is held for who acks slowly, as what is not retained is.
    @Test(arguments: ["plain", "set"])
    func whoAcksSlowlyMissesNoValues(space: String) throws {
        var plain = TopicOptions()
        plain.storage = .durable
        let fixture = KeptFixture(topics: ["plain": plain])
        let device = fixture.device("a")
        let connection = fixture.connect(device, expiry: 0, window: 3)
        try fixture.subscribe(device, "\(space)/#", qos: 1)
        let texts = (0..<200).map { "\($0)" }
        // What is retained and what is not, mixed: all in order.
        for (number, text) in texts.enumerated() {
            fixture.publish("\(space)/\(text.count)", text, retain: number % 3 == 0 ? .set : .leave)
        }
        #expect(connection.sent.count == 3)
        fixture.run()
        #expect(device.delivered == texts)
        #expect(connection.gaps.isEmpty)
        // Nobody is there who acks: nothing is held.
        device.breaks()
        fixture.settle()
        fixture.publish("plain/last", "last", retain: .set)
        let left = Mutex<Int?>(nil)
        fixture.store.topicInfo(TopicKey(app: .dev, name: "plain/last"), now: fixture.clock.now) { result in
            left.withLock { $0 = try? result.get().messages }
        }
        fixture.settle()
        #expect(left.withLock { $0 } == 0)
    }

    @Test func theValueComesBeforeAMessageThatIsAcked() throws {
        let texts = self.fill("set", 20)
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: 0, window: 2)
        try self.fixture.subscribe(device, "set/#", qos: 1)
        for text in texts.reversed() { self.fixture.publish("set/\(text)", "\(text)live") }
        self.fixture.run()
        for text in texts {
            let own = device.delivered.filter { $0.hasPrefix(text) }
            #expect(own.count == 2)
            #expect(own.last == "\(text)live")
        }
    }
}
