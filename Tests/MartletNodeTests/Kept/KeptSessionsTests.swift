import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Sessions that go on when their clients come back.
@Suite struct KeptSessionsTests {
    private let fixture = KeptFixture(topics: ["stored": TopicTests.durable, "kept": TopicTests.kept])

    private func publish(_ topic: String, _ range: Range<Int>, qos: UInt8 = 2) {
        for number in range { self.fixture.publish(topic, "\(number)", qos: qos) }
    }

    private func texts(_ range: Range<Int>) -> [String] { range.map { "\($0)" } }

    /// A device that subscribes and is connected.
    private func device(_ topic: String, qos: UInt8, name: String = "a", window: Int = 10) throws -> Device {
        let device = self.fixture.device(name)
        self.fixture.connect(device, window: window)
        try self.fixture.subscribe(device, topic, qos: qos)
        return device
    }

    // MARK: Going on

    @Test(arguments: ["news", "stored/a", "kept/a", "#"], [UInt8(1), 2])
    func whoComesBackGetsWhatWaited(filter: String, qos: UInt8) throws {
        let topic = filter == "#" ? "x/y" : filter
        let device = try self.device(filter, qos: qos)
        #expect(device.connection?.standing == SessionStanding(isResumed: false, expirySeconds: 3_600))
        self.publish(topic, 0..<3)
        self.fixture.run()
        device.breaks()
        self.publish(topic, 3..<30)
        self.fixture.publish(topic, "not kept", qos: 0)
        self.fixture.publish(topic, "for who is there", ttl: 0)
        self.publish(topic, 30..<40, qos: 1)
        let next = self.fixture.connect(device, shard: 1)
        #expect(next.standing == SessionStanding(isResumed: true, expirySeconds: 3_600))
        self.fixture.run()
        #expect(next.texts == self.texts(3..<40))
        #expect(next.most <= 10)
        #expect(device.delivered == self.texts(0..<40))
        #expect(next.sent.allSatisfy { !$0.ticket.isRepeated && !$0.isRetained })
        #expect(next.gaps.isEmpty)
        self.publish(topic, 40..<43)
        self.fixture.run()
        #expect(device.delivered == self.texts(0..<43))
    }

    @Test(arguments: [false, true])
    func whatWasUnderWayComesAgainUnderItsNumber(crashes: Bool) throws {
        let device = try self.device("news", qos: 2, window: 6)
        try self.fixture.subscribe(device, "less", qos: 1)
        self.publish("news", 0..<3)
        self.publish("less", 10..<13)
        self.fixture.settle()
        let first = try #require(device.connection)
        #expect(first.sent.map(\.ticket.number) == [1, 2, 3, 4, 5, 6])
        // One is done, one received, one released and not done; of the others nothing is known.
        #expect(device.answer(2))
        self.fixture.settle()
        #expect(first.released == [1, 2])
        #expect(first.handle?.completed(number: 1) == true)
        #expect(first.handle?.acked(number: 4) == true)
        self.fixture.advance(500)
        self.publish("news", 3..<6)
        if crashes { self.fixture.crash() } else { device.breaks() }
        let next = self.fixture.connect(device, window: 6)
        #expect(next.released == [2])
        let again = next.sent.filter(\.ticket.isRepeated)
        #expect(again.map(\.text) == ["2", "11", "12", "3", "4"].prefix(again.count).map { $0 })
        #expect(again.prefix(3).map(\.ticket.number) == [3, 5, 6])
        #expect(again.prefix(3).map(\.ticket.qos) == [2, 1, 1])
        self.fixture.run()
        #expect(next.most <= 6)
        let news = device.delivered.filter { Int($0).map { $0 < 10 } == true }
        #expect(news == self.texts(0..<6))
        #expect(Set(device.delivered) == Set(self.texts(0..<6) + self.texts(10..<13)))
    }

    @Test func aCrashForgetsNothingThatWasPublished() throws {
        let device = try self.device("news", qos: 2)
        self.publish("news", 0..<5)
        self.fixture.run()
        self.fixture.crash()
        self.publish("news", 5..<9)
        self.fixture.crash()
        self.publish("news", 9..<12)
        let next = self.fixture.connect(device)
        #expect(next.standing?.isResumed == true)
        self.fixture.run()
        #expect(device.delivered == self.texts(0..<12))
        self.publish("news", 12..<14)
        self.fixture.run()
        #expect(device.delivered == self.texts(0..<14))
    }

    /// The store has what goes out exactly once before it goes out.
    @Test func nothingGoesOutBeforeItsStateIsStored() throws {
        let fixture = KeptFixture(steps: true)
        let device = fixture.device("a")
        let connection = fixture.connect(device)
        fixture.run()
        #expect(connection.welcome != nil)
        #expect(try !fixture.subscribe(device, "news", qos: 2))
        fixture.run()
        fixture.node.publish([fixture.request("news", "a"), fixture.request("news", "b")]) { _ in }
        fixture.store.commit(.max)
        while fixture.store.deliver() {}
        fixture.settle()
        #expect(connection.sent.isEmpty)
        #expect(fixture.store.waitingChanges > 0)
        fixture.stepStore()
        #expect(connection.texts == ["a", "b"])
        #expect(device.answer())
        fixture.settle()
        #expect(connection.released.isEmpty)
        fixture.stepStore()
        #expect(connection.released == [1, 2])
        fixture.crash()
        fixture.connect(device)
        fixture.run()
        #expect(device.delivered == ["a", "b"])
        #expect(device.connection?.released == [1, 2])
    }

    @Test func anotherConnectionTakesOver() throws {
        let device = try self.device("news", qos: 1)
        let first = try #require(device.connection)
        self.publish("news", 0..<2)
        for shard in [0, 1, 0] {
            let before = try #require(device.connection)
            let next = self.fixture.connect(device, shard: shard)
            #expect(before.closed == .takenOver)
            #expect(next.standing?.isResumed == true)
            #expect(next.texts == ["0", "1"])
            #expect(!next.sent.map(\.ticket.isRepeated).contains(false))
            before.handle?.clientClosed()
        }
        self.fixture.run()
        self.publish("news", 2..<4)
        self.fixture.run()
        #expect(device.delivered.suffix(2) == ["2", "3"])
        #expect(first.texts == ["0", "1"])
        #expect(self.fixture.node.sessions == 1)
    }

    @Test func aSessionOfAnotherUserIsNotGoneOnWith() throws {
        let alice = try self.device("news", qos: 2, name: "shared")
        self.publish("news", 0..<2)
        alice.breaks()
        self.publish("news", 2..<4)
        let bob = self.fixture.device("shared", user: "bob")
        let connection = self.fixture.connect(bob)
        #expect(connection.standing?.isResumed == false)
        self.publish("news", 4..<6)
        self.fixture.run()
        #expect(bob.delivered.isEmpty)
        #expect(bob.connection?.released.isEmpty == true)
        bob.breaks()
        // It is gone for Alice, too.
        #expect(self.fixture.connect(alice).standing?.isResumed == false)
        self.fixture.run()
        #expect(Set(alice.delivered) == ["0", "1"])
    }

    @Test func aSessionMayGoOnForOneMoreConnection() throws {
        let device = try self.device("news", qos: 2)
        self.publish("news", 0..<1)
        device.breaks()
        self.publish("news", 1..<20)
        let next = self.fixture.connect(device, expiry: 0, window: 3)
        #expect(next.standing == SessionStanding(isResumed: true, expirySeconds: 0))
        try self.fixture.subscribe(device, "more", qos: 1)
        self.fixture.publish("more", "more")
        self.fixture.advance(2_000)
        self.fixture.run()
        #expect(Set(device.delivered) == Set(self.texts(0..<20) + ["more"]))
        #expect(device.delivered.count == 21)
        device.breaks()
        #expect(self.fixture.rows.isEmpty)
        #expect(self.fixture.connect(device).standing?.isResumed == false)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 0)
    }

    @Test func cleanStartDropsWhatWas() throws {
        let device = try self.device("news", qos: 1)
        device.breaks()
        self.publish("news", 0..<2)
        let next = self.fixture.connect(device, clean: true)
        #expect(next.standing?.isResumed == false)
        self.publish("news", 2..<4)
        self.fixture.run()
        #expect(device.delivered.isEmpty)
        device.breaks()
        self.fixture.crash()
        #expect(self.fixture.connect(device).standing?.isResumed == true)
        self.fixture.run()
        #expect(device.delivered.isEmpty)
    }

    @Test func sessionsEndInTime() throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: 10)
        try self.fixture.subscribe(device, "news", qos: 1)
        self.fixture.advance(60_000)
        device.breaks()
        self.publish("news", 0..<2)
        self.fixture.advance(8_000)
        #expect(self.fixture.connect(device, expiry: 10).standing?.isResumed == true)
        device.breaks()
        #expect(self.fixture.waiting("news") == 2)
        self.fixture.advance(12_000)
        #expect(self.fixture.rows.isEmpty)
        self.fixture.advance(1_000)
        #expect(self.fixture.waiting("news") == 0)
        #expect(self.fixture.connect(device, expiry: 10).standing?.isResumed == false)
        // The client may say otherwise when it goes.
        device.connection?.handle?.leaves(withWill: false, expirySeconds: 0) {}
        device.breaks()
        #expect(self.fixture.rows.isEmpty)
        self.fixture.connect(device, expiry: 10)
        device.connection?.handle?.leaves(withWill: false, expirySeconds: 100) {}
        device.breaks()
        self.fixture.crash()
        self.fixture.advance(60_000)
        #expect(self.fixture.connect(device, expiry: 10).standing?.isResumed == true)
    }

    @Test func theLimitOfKeptSessionsHolds() throws {
        let fixture = KeptFixture { $0.keptSessions = 2 }
        let devices = ["a", "b", "c"].map { fixture.device($0) }
        for device in devices { fixture.connect(device) }
        #expect(devices.map { $0.connection?.refusal?.code } == [nil, nil, .tooManySessions])
        #expect(fixture.connect(devices[0]).standing?.isResumed == true)
        #expect(fixture.connect(devices[2], expiry: 0).refusal == nil)
        #expect(fixture.connect(devices[1], clean: true).refusal == nil)
        #expect(fixture.rows.count == 2)
    }

    // MARK: What a session may

    @Test func whatItMayNotAnyMoreDoesNotCome() throws {
        let device = try self.device("secret/a", qos: 2)
        try self.fixture.subscribe(device, "open", qos: 1)
        self.publish("secret/a", 0..<2)
        device.breaks()
        self.publish("secret/a", 2..<4)
        self.publish("open", 10..<12)
        let rights = TopicRights([.init(pattern: TopicFilter(topic: "open"), actions: .all)])
        let next = self.fixture.connect(device, rights: rights)
        self.publish("secret/a", 4..<6)
        self.fixture.run()
        #expect(next.texts == ["10", "11"])
        #expect(throws: WireError.self) { try self.fixture.subscribe(device, "secret/a", qos: 1) }
        // What it was sent and must not take for something else it forgets.
        #expect(next.released == [1, 2])
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("secret/a") == 0)
        self.fixture.crash()
        self.fixture.connect(device)
        self.publish("secret/a", 6..<8)
        self.fixture.run()
        #expect(Set(device.delivered) == ["0", "1", "10", "11"])
    }

    @Test func subscriptionsEndWithTheirRight() throws {
        let device = try self.device("secret/a", qos: 1)
        try device.connection?.handle?.renew(app: .dev, user: "alice", device: "a", expiresAtMs: nil, rights: TopicRights([]))
        self.publish("secret/a", 0..<2)
        self.fixture.run()
        #expect(device.delivered.isEmpty)
        #expect(throws: WireError.self) { _ = try self.fixture.publish(device, "secret/a", "x", number: 1) }
        try device.connection?.handle?.renew(app: .dev, user: "alice", device: "a", expiresAtMs: nil, rights: .everything)
        // It was not published, so its number is not taken.
        try self.fixture.subscribe(device, "b", qos: 1)
        #expect(try self.fixture.publish(device, "b", "x", number: 1).value.isStored)
        self.fixture.run()
        #expect(device.delivered == ["x"])
    }

    // MARK: What becomes of messages

    @Test(arguments: ["news", "kept/a", "stored/a"])
    func whatWasTakenBackOrHasExpiredDoesNotCome(topic: String) throws {
        let device = try self.device(topic, qos: 2, window: 2)
        let ids = ["sent", "sent too", "waits", "stays"].map { text -> MessageID? in
            guard case .stored(let id, _)? = self.fixture.publish(topic, text).first else { return nil }
            return id
        }
        self.fixture.publish(topic, "expires", ttl: 5)
        self.fixture.settle()
        #expect(device.sent.map(\.text) == ["sent", "sent too"])
        device.breaks()
        for id in [ids[0], ids[2]] {
            self.fixture.node.recall(try #require(id), app: .dev) { result in #expect((try? result.get()) == .recalled) }
        }
        self.fixture.advance(10_000)
        let next = self.fixture.connect(device)
        self.fixture.run()
        #expect(next.texts == ["sent too", "stays"])
        // It may have the first: its number is used again only when it has forgotten it.
        #expect(next.released.first == 1)
        #expect(device.delivered == ["sent", "sent too", "stays"])
        #expect(device.once.isEmpty)
    }

    @Test func queuesAreTrimmedWhenAllHaveAcked() throws {
        let first = try self.device("news", qos: 1, name: "a")
        let second = try self.device("#", qos: 2, name: "b")
        second.breaks()
        self.publish("news", 0..<10)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 10)
        #expect(first.answer(4))
        self.fixture.settle()
        self.fixture.connect(second, window: 100)
        #expect(second.sent.count == 10)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 10)
        #expect(second.answer())
        self.fixture.settle()
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 6)
        self.fixture.run()
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 0)
    }

    @Test func whatWaitedBeforeTheStartIsTrimmed() throws {
        let device = try self.device("news", qos: 1)
        device.breaks()
        self.publish("news", 0..<30)
        self.fixture.crash()
        self.fixture.connect(device)
        self.fixture.run()
        self.fixture.advance(2_000)
        #expect(device.delivered == self.texts(0..<30))
        #expect(self.fixture.waiting("news") == 0)
    }
}
