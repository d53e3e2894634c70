import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Publishes of one client that came together, of which some wait for somebody and some do not.
@Suite struct MixedPublishTests {
    private let fixture = KeptFixture(steps: true)

    /// Publishes exactly once, those of each array together, without a pause.
    private func publish(_ device: Device, _ turns: [[(topic: String, number: UInt16)]]) throws -> [Outcomes] {
        try turns.map { turn in
            let outcomes = Outcomes()
            let ready = try turn.compactMap {
                try device.connection?.handle?.ready(self.fixture.request($0.topic, "\($0.number)"), number: $0.number)
            }
            device.connection?.handle?.publishReady(ready) { outcomes.set($0) }
            return outcomes
        }
    }

    private func devices() throws -> (publisher: Device, subscriber: Device) {
        let publisher = self.fixture.device("publisher")
        let subscriber = self.fixture.device("subscriber")
        self.fixture.connect(publisher)
        self.fixture.connect(subscriber)
        self.fixture.run()
        try self.fixture.subscribe(subscriber, "kept/#", qos: 2)
        self.fixture.run()
        return (publisher, subscriber)
    }

    private static let turns: [[(topic: String, number: UInt16)]] = [
        [("kept/a", 1), ("nobody/a", 2), ("kept/a", 3)], [("kept/a", 4), ("kept/a", 5)], [("nobody/a", 6)], [("kept/a", 7)],
    ]

    @Test func theyComeInOrder() throws {
        let (publisher, subscriber) = try self.devices()
        let outcomes = try self.publish(publisher, Self.turns)
        self.fixture.run()
        #expect(outcomes.map(\.value.count) == Self.turns.map(\.count))
        #expect(outcomes.allSatisfy { $0.value.allSatisfy { if case .stored = $0 { true } else { false } } })
        #expect(subscriber.delivered == ["1", "3", "4", "5", "7"])
    }

    /// However much of it reaches the disk before the server dies: what is there is known by its number, and what is not comes with its repeat.
    @Test(arguments: 0...8)
    func aRepeatIsNotPublishedAgain(committing count: Int) throws {
        let (publisher, subscriber) = try self.devices()
        _ = try self.publish(publisher, Self.turns)
        self.fixture.crash(committing: count)
        self.fixture.connect(publisher)
        self.fixture.connect(subscriber)
        self.fixture.run()
        _ = try self.publish(publisher, Self.turns)
        self.fixture.run()
        #expect(subscriber.delivered == ["1", "3", "4", "5", "7"])
        #expect(subscriber.once.isEmpty)
    }
}
