import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// Subscriptions that several sessions share.
@Suite struct SharedTopicTests {
    private let fixture = KeptFixture(topics: ["stored": TopicTests.durable])

    private func publish(_ topic: String, _ range: Range<Int>, qos: UInt8 = 2) {
        for number in range { self.fixture.publish(topic, "\(number)", qos: qos) }
    }

    private func texts(_ range: Range<Int>) -> [String] { range.map { "\($0)" } }

    @discardableResult
    private func join(
        _ device: Device, _ topic: String = "jobs", qos: UInt8 = 1, expiry: Int = 0, window: Int = 10, shard: Int = 0, group: String = "g"
    ) throws -> Connection {
        let connection = self.fixture.connect(device, expiry: expiry, window: window, shard: shard)
        #expect(try self.fixture.subscribe(device, topic, qos: qos, share: group))
        return connection
    }

    @Test(arguments: ["jobs", "stored/a"], [0, 3_600])
    func eachMessageGoesToOneMember(topic: String, expiry: Int) throws {
        let members = (0..<3).map { self.fixture.device("m\($0)") }
        for (index, member) in members.enumerated() { try self.join(member, topic, expiry: expiry, shard: index % 2) }
        let alone = self.fixture.device("alone")
        try self.join(alone, topic, expiry: expiry, group: "other")
        let plain = self.fixture.device("plain")
        self.fixture.connect(plain, expiry: 0)
        try self.fixture.subscribe(plain, topic, qos: 1)
        self.publish(topic, 0..<60)
        self.fixture.run()
        let all = members.flatMap(\.delivered)
        #expect(all.count == 60)
        #expect(Set(all) == Set(self.texts(0..<60)))
        for member in members { #expect(member.delivered.count == 20) }
        #expect(alone.delivered == self.texts(0..<60))
        #expect(plain.delivered == self.texts(0..<60))
        self.fixture.advance(3_000)
        #expect(self.fixture.waiting(topic) == 0)
    }

    @Test(arguments: [0, 3_600])
    func whatALeavingMemberHasNotAckedGoesToAnother(expiry: Int) throws {
        let first = self.fixture.device("a")
        let second = self.fixture.device("b")
        try self.join(first, expiry: expiry)
        try self.join(second, expiry: expiry, shard: 1)
        self.publish("jobs", 0..<10)
        self.fixture.settle()
        #expect(first.sent.count == 5)
        #expect(first.answer(2))
        self.fixture.settle()
        let acked = first.sent.prefix(2).map(\.text)
        first.breaks()
        self.fixture.run()
        #expect(Set(acked + second.delivered) == Set(self.texts(0..<10)))
        #expect(second.delivered.count == 8)
        // So does what one has that unsubscribes.
        try self.join(first, expiry: expiry)
        self.publish("jobs", 10..<14)
        self.fixture.settle()
        let connection = first.connection
        #expect(try self.fixture.unsubscribe(first, "jobs", share: "g") == [true])
        self.publish("jobs", 14..<16)
        #expect(connection?.texts.contains("15") == false)
        first.answers = []
        self.fixture.run()
        #expect(Set(second.delivered).isSuperset(of: self.texts(10..<16)))
    }

    @Test func aGroupWaitsWhileAllAreAway() throws {
        let first = self.fixture.device("a")
        let second = self.fixture.device("b")
        for member in [first, second] { try self.join(member, expiry: 3_600) }
        self.publish("jobs", 0..<4)
        self.fixture.run()
        first.breaks()
        second.breaks()
        self.publish("jobs", 4..<20)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("jobs") == 16)
        self.fixture.connect(second, window: 4, shard: 1)
        self.fixture.run()
        #expect(second.connection?.most ?? 0 <= 4)
        #expect(Set(first.delivered + second.delivered) == Set(self.texts(0..<20)))
        #expect(second.sent.count == 16)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("jobs") == 0)
    }

    @Test func aCrashLosesNothingOfAGroup() throws {
        let first = self.fixture.device("a")
        try self.join(first, expiry: 3_600, window: 3)
        self.publish("jobs", 0..<6)
        self.fixture.settle()
        #expect(first.answer(2))
        self.fixture.settle()
        self.fixture.advance(1_000)
        self.fixture.crash()
        self.publish("jobs", 6..<9)
        self.fixture.connect(first)
        self.fixture.run()
        #expect(Set(first.delivered) == Set(self.texts(0..<9)))
        // What was acked before is not handed out again.
        #expect(first.sent.map(\.text) == self.texts(2..<9))
    }

    /// A group whose last kept member ends is forgotten, also if that was while the server was down.
    @Test func aGroupEndsWithItsLastMember() throws {
        let first = self.fixture.device("a")
        try self.join(first, expiry: 5)
        first.breaks()
        self.publish("jobs", 0..<3)
        self.fixture.advance(8_000)
        #expect(self.fixture.rows.isEmpty)
        self.fixture.advance(1_000)
        #expect(self.fixture.waiting("jobs") == 0)
        try self.join(first, expiry: 3_600)
        #expect(self.fixture.rows.count == 2)
        #expect(try self.fixture.unsubscribe(first, "jobs", share: "g") == [true])
        self.fixture.advance(2_000)
        #expect(self.fixture.rows.count == 1)
    }

    /// While members are there they get what comes, whoever ends.
    @Test func aGroupOutlivesItsKeptMembers() throws {
        let kept = self.fixture.device("kept")
        let live = self.fixture.device("live")
        try self.join(live)
        self.publish("jobs", 0..<2)
        self.fixture.run()
        try self.join(kept, expiry: 3_600, shard: 1)
        self.publish("jobs", 2..<8)
        self.fixture.run()
        #expect(Set(kept.delivered + live.delivered) == Set(self.texts(0..<8)))
        #expect(kept.delivered.count == 3)
        #expect(try self.fixture.unsubscribe(kept, "jobs", share: "g") == [true])
        self.fixture.advance(3_000)
        self.publish("jobs", 8..<12)
        self.fixture.run()
        #expect(Set(live.delivered).isSuperset(of: self.texts(8..<12)))
        live.breaks()
        self.fixture.advance(3_000)
        #expect(self.fixture.rows.map(\.key.name) == ["kept"])
        #expect(self.fixture.waiting("jobs") == 0)
    }

    /// What only the memory log has is read before the group goes on with its queue.
    @Test func aGroupThatIsBehindLosesNothingWhenItIsKept() throws {
        let slow = self.fixture.device("slow")
        try self.join(slow, window: 2)
        // More than a connection's window takes.
        let text = String(repeating: "x", count: 1_000)
        for number in 0..<200 { self.fixture.publish("jobs", "\(text)\(number)") }
        let kept = self.fixture.device("kept")
        try self.join(kept, expiry: 3_600, window: 2, shard: 1)
        self.publish("jobs", 200..<220)
        self.fixture.run()
        let numbers = (slow.delivered + kept.delivered).map { $0.drop { $0 == "x" } }
        #expect(Set(numbers.map { String($0) }) == Set(self.texts(0..<220)))
        #expect(!kept.delivered.isEmpty)
        kept.breaks()
        slow.breaks()
        self.publish("jobs", 220..<230)
        self.fixture.connect(kept)
        self.fixture.run()
        #expect(Set(kept.delivered).isSuperset(of: self.texts(220..<230)))
    }

    @Test func aMemberWithoutAcksGetsItsPart() throws {
        let quiet = self.fixture.device("quiet")
        let acking = self.fixture.device("acking")
        try self.join(quiet, qos: 0)
        try self.join(acking, qos: 2, expiry: 3_600)
        self.publish("jobs", 0..<10)
        self.publish("jobs", 10..<12, qos: 0)
        self.fixture.run()
        #expect(Set(quiet.delivered + acking.delivered) == Set(self.texts(0..<12)))
        #expect(quiet.delivered.count + acking.delivered.count == 12)
        #expect(quiet.sent.allSatisfy { $0.ticket.qos == 0 })
        // Handed out to be acked, but not exactly once: another may get what is left.
        #expect(Set(acking.sent.map(\.ticket.qos)).isSubset(of: [0, 1]))
        acking.breaks()
        self.publish("jobs", 12..<20)
        self.fixture.run()
        #expect(quiet.delivered.suffix(8) == self.texts(12..<20).suffix(8))
        self.fixture.advance(3_000)
        #expect(self.fixture.waiting("jobs") == 0)
    }

    @Test func aMemberWithoutRoomIsLeftOutUntilItHasSome() throws {
        let full = self.fixture.device("full")
        try self.join(full, expiry: 3_600, window: 2)
        try self.fixture.subscribe(full, "own", qos: 1)
        self.publish("own", 100..<102)
        self.fixture.settle()
        #expect(full.sent.count == 2)
        self.publish("jobs", 0..<6)
        self.fixture.settle()
        #expect(full.sent.count == 2)
        let free = self.fixture.device("free")
        try self.join(free, expiry: 3_600, window: 2, shard: 1)
        #expect(free.sent.count == 2)
        #expect(free.connection?.most == 2)
        free.breaks()
        // Its room comes with acks of what is not the group's.
        self.fixture.run()
        #expect(Set(full.delivered) == Set(self.texts(0..<6) + ["100", "101"]))
        #expect(full.connection?.most == 2)
    }

    @Test func manyMessagesAndOneSlowMemberAreNotBouncedAbout() throws {
        let slow = self.fixture.device("slow")
        try self.join(slow, window: 2)
        self.publish("jobs", 0..<400)
        let wakes = { self.fixture.loops.reduce(0) { $0 + $1.wakes.load(ordering: .relaxed) } }
        let before = wakes()
        self.fixture.run()
        #expect(slow.delivered == self.texts(0..<400))
        #expect(wakes() - before < 400 * 8)
    }
}
