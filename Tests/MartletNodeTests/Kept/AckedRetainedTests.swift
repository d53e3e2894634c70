import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
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
