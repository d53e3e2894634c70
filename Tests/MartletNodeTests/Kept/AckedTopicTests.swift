import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// Messages of topics that a connected client acks one by one.
@Suite struct AckedTopicTests {
    private let fixture = KeptFixture(topics: ["stored": TopicTests.durable, "kept": TopicTests.kept])

    private func publish(_ topic: String, _ range: Range<Int>, qos: UInt8 = 2) {
        for number in range { self.fixture.publish(topic, "\(number)", qos: qos) }
    }

    private func texts(_ range: Range<Int>) -> [String] { range.map { "\($0)" } }

    @Test(arguments: [("news", 0), ("news", 3_600), ("stored/a", 0), ("stored/a", 3_600), ("kept/a", 0)], [UInt8(1), 2])
    func aSlowClientGetsEverythingWithinItsWindow(place: (topic: String, expiry: Int), qos: UInt8) throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: place.expiry, window: 4)
        #expect(try self.fixture.subscribe(device, place.topic, qos: qos))
        self.publish(place.topic, 0..<50)
        let connection = try #require(device.connection)
        #expect(connection.texts == self.texts(0..<4))
        #expect(connection.sent.allSatisfy { $0.ticket.qos == qos && !$0.ticket.isRepeated })
        #expect(connection.sent.map(\.ticket.number) == [1, 2, 3, 4])
        #expect(device.answer(1))
        self.fixture.settle()
        // What was received exactly once has its place until the client has forgotten its number.
        #expect(connection.texts == self.texts(0..<(qos == 1 ? 5 : 4)))
        self.fixture.run()
        #expect(device.delivered == self.texts(0..<50))
        #expect(connection.texts == self.texts(0..<50))
        #expect(connection.most <= 4)
        #expect(connection.gaps.isEmpty)
        self.publish(place.topic, 50..<52)
        self.fixture.run()
        #expect(device.delivered == self.texts(0..<52))
    }

    @Test func qosIsTheSmallerOfBoth() throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device)
        try self.fixture.subscribe(device, "one", qos: 1)
        try self.fixture.subscribe(device, "two", qos: 2)
        try self.fixture.subscribe(device, "none", qos: 0)
        for topic in ["one", "two", "none"] {
            for qos in UInt8(0)...2 { self.fixture.publish(topic, "\(topic)\(qos)", qos: qos) }
        }
        self.fixture.run()
        let qos = Dictionary(device.sent.map { ($0.text, $0.ticket.qos) }) { $1 }
        #expect(
            qos == [
                "one0": 0, "one1": 1, "one2": 1, "two0": 0, "two1": 1, "two2": 2, "none0": 0, "none1": 0, "none2": 0,
            ])
        #expect(device.sent.count == 9)
        #expect(device.sent.filter { $0.ticket.qos == 0 }.allSatisfy { $0.ticket.number == 0 })
    }

    @Test(arguments: [0, 3_600])
    func exactlyOnceGoesInFourSteps(expiry: Int) throws {
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, expiry: expiry)
        try self.fixture.subscribe(device, "news", qos: 2)
        self.fixture.publish("news", "a")
        #expect(connection.sent.map(\.ticket.number) == [1])
        #expect(connection.handle?.acked(number: 1) == false)
        #expect(connection.handle?.received(number: 2, isRefused: false) == false)
        #expect(connection.handle?.received(number: 1, isRefused: false) == true)
        self.fixture.settle()
        #expect(connection.released == [1])
        // It is not left unsent.
        #expect(!connection.isUnflushed)
        #expect(connection.handle?.acked(number: 1) == false)
        #expect(connection.handle?.completed(number: 1) == true)
        #expect(connection.handle?.completed(number: 1) == false)
        self.fixture.publish("news", "b")
        // A refusal ends it, too.
        #expect(connection.handle?.received(number: 2, isRefused: true) == true)
        #expect(connection.handle?.acked(number: 2) == false)
    }

    @Test func whatIsPublishedUnderANumberComesOnce() throws {
        let reader = self.fixture.device("reader")
        self.fixture.connect(reader)
        try self.fixture.subscribe(reader, "news", qos: 2)
        for expiry in [0, 3_600] {
            let writer = self.fixture.device("writer-\(expiry)")
            self.fixture.connect(writer, expiry: expiry)
            #expect(try self.fixture.publish(writer, "news", "\(expiry)", number: 7).value.isStored)
            #expect(try self.fixture.publish(writer, "news", "\(expiry)", number: 7).value.isStored)
            self.fixture.run()
            #expect(reader.delivered.last == "\(expiry)")
            var isKnown: [Bool?] = []
            let known = KnownNumbers()
            writer.connection?.handle?.release(number: 7) { known.add($0) }
            self.fixture.settle()
            writer.connection?.handle?.release(number: 7) { known.add($0) }
            self.fixture.settle()
            isKnown = known.values
            #expect(isKnown == [true, false])
            #expect(try self.fixture.publish(writer, "news", "again \(expiry)", number: 7).value.isStored)
            self.fixture.run()
        }
        #expect(reader.delivered == ["0", "again 0", "3600", "again 3600"])
    }

    @Test func overlappingSubscriptionsGiveOneCopy() throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device)
        try self.fixture.subscribe(device, "a/#", qos: 1) { $0.identifier = 5 }
        try self.fixture.subscribe(device, "a/b", qos: 2) { $0.identifier = 6 }
        self.fixture.publish("a/b", "x")
        self.fixture.run()
        #expect(device.delivered == ["x"])
        #expect(device.sent.map(\.ticket.qos) == [2])
        #expect(device.sent.first.map { Set($0.ticket.moreIdentifiers + [$0.ticket.identifier]) } == [5, 6])
    }

    @Test(arguments: [0, 3_600])
    func aClientNeedNotHearItself(expiry: Int) throws {
        let device = self.fixture.device("a")
        let other = self.fixture.device("b")
        for device in [device, other] {
            self.fixture.connect(device, expiry: expiry)
            try self.fixture.subscribe(device, "news", qos: 2) { $0.noLocal = true }
        }
        #expect(try self.fixture.publish(device, "news", "x", number: 1).value.isStored)
        #expect(try self.fixture.publish(other, "news", "y", number: 1).value.isStored)
        self.fixture.run()
        #expect(device.delivered == ["y"])
        #expect(other.delivered == ["x"])
        self.fixture.advance(3_000)
        #expect(self.fixture.waiting("news") == 0)
    }

    @Test(arguments: [0, 3_600])
    func whoUnsubscribesGetsNoMore(expiry: Int) throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: expiry)
        try self.fixture.subscribe(device, "news", qos: 1)
        self.fixture.publish("news", "a")
        #expect(try self.fixture.unsubscribe(device, "other") == [false])
        #expect(try self.fixture.unsubscribe(device, "news") == [true])
        #expect(device.connection?.isUnflushed == false)
        self.fixture.publish("news", "b")
        self.fixture.run()
        #expect(device.delivered == ["a"])
        #expect(try self.fixture.unsubscribe(device, "news") == [false])
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 0)
    }

    @Test func aSubscriptionMayChange() throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device)
        var expected: [UInt8] = []
        for (step, qos) in [UInt8(0), 1, 0, 2, 1].enumerated() {
            #expect(try self.fixture.subscribe(device, "news", qos: qos))
            self.fixture.publish("news", "\(step)")
            self.fixture.run()
            expected.append(qos)
        }
        #expect(device.delivered == ["0", "1", "2", "3", "4"])
        #expect(device.sent.map(\.ticket.qos) == expected)
        #expect(try self.fixture.unsubscribe(device, "news") == [true])
        self.fixture.publish("news", "end")
        self.fixture.run()
        #expect(device.delivered.count == 5)
    }

    /// [MQTT-3.8.4-4]
    @Test(arguments: [0, 3_600])
    func aChangeLosesNothing(expiry: Int) throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: expiry, window: 2)
        let other = self.fixture.device("b")
        self.fixture.connect(other)
        try self.fixture.subscribe(other, "news", qos: 1)
        try self.fixture.subscribe(device, "news", qos: 1)
        self.publish("news", 0..<10)
        for qos in [UInt8(0), 2, 0] {
            #expect(try self.fixture.subscribe(device, "news", qos: qos))
            self.publish("news", 0..<1, qos: 0)
        }
        self.fixture.run()
        self.publish("news", 10..<12)
        self.fixture.run()
        #expect(device.delivered.filter { $0 != "0" } == self.texts(1..<12))
        #expect(device.delivered.count == 15)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 0)
        device.breaks()
        self.publish("news", 12..<14)
        self.fixture.connect(device, expiry: expiry)
        self.fixture.run()
        #expect(device.delivered.count == 15)
        self.fixture.advance(2_000)
        #expect(self.fixture.waiting("news") == 0)
    }

    @Test func asManySubscriptionsAsAllowedMayBeAskedForAgain() throws {
        let fixture = KeptFixture { $0.topicsPerSession = 3 }
        let device = fixture.device("a")
        fixture.connect(device)
        for _ in 0..<3 {
            for text in ["a", "b/+", "c"] { #expect(try fixture.subscribe(device, text, qos: 1)) }
        }
        #expect(throws: WireError.self) { try fixture.subscribe(device, "d", qos: 1) }
    }

    // MARK: Retained values

    @Test(arguments: [0, 3_600], ["set", "stored"])
    func retainedValuesComeAsTheSubscriptionSays(expiry: Int, space: String) throws {
        self.fixture.publish("\(space)/a", "old", retain: .set)
        self.fixture.publish("\(space)/b", "value", qos: 1, retain: .set)
        self.fixture.publish("\(space)/a", "new", retain: .set)
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, expiry: expiry)
        try self.fixture.subscribe(device, "\(space)/+", qos: 2) { $0.retainHandling = .ifNew }
        self.fixture.run()
        #expect(Set(device.delivered) == ["new", "value"])
        #expect(connection.sent.allSatisfy { $0.ticket.isRetained && $0.isRetained })
        #expect(connection.sent.first { $0.text == "value" }?.ticket.qos == 1)
        try self.fixture.subscribe(device, "\(space)/+", qos: 2) { $0.retainHandling = .ifNew }
        try self.fixture.subscribe(device, "\(space)/+", qos: 2) { $0.retainHandling = .never }
        self.fixture.run()
        #expect(device.delivered.count == 2)
        try self.fixture.subscribe(device, "\(space)/+", qos: 2) { $0.retainAsPublished = true }
        self.fixture.run()
        #expect(device.delivered.count == 4)
        self.fixture.publish("\(space)/a", "newer", retain: .set)
        self.fixture.run()
        #expect(device.delivered.suffix(1) == ["newer"])
        #expect(connection.sent.last?.ticket.isRetained == true)
        try self.fixture.subscribe(device, "\(space)/+", qos: 1) { $0.retainHandling = .never }
        self.fixture.publish("\(space)/a", "newest", retain: .set)
        self.fixture.run()
        #expect(connection.sent.last?.ticket.isRetained == false)
        #expect(device.delivered.count == 6)
    }

    @Test(arguments: [0, 3_600], ["set", "stored"])
    func moreRetainedValuesThanTheWindowComeInTurn(expiry: Int, space: String) throws {
        for number in 0..<40 { self.fixture.publish("\(space)/\(number)", "\(number)", retain: .set) }
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, expiry: expiry, window: 3)
        try self.fixture.subscribe(device, "\(space)/#", qos: 1)
        #expect(connection.sent.count == 3)
        self.fixture.publish("\(space)/x", "live")
        self.fixture.run()
        #expect(connection.most <= 3)
        #expect(Set(device.delivered) == Set((0..<40).map { "\($0)" } + ["live"]))
        #expect(device.delivered.count == 41)
    }

    // MARK: The inbox

    @Test(arguments: [true, false])
    func theInboxComesWhenItIsOpened(acks: Bool) throws {
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, expiry: 3_600, window: 64)
        self.fixture.publish(toUser: "alice")
        #expect(connection.inbox.isEmpty)
        var opened = 0
        connection.handle?.openInbox(windowMessages: 10, acks: acks) { error in if error == nil { opened += 1 } }
        self.fixture.settle()
        #expect(opened == 1)
        #expect(connection.inbox.count == 1)
        self.fixture.publish(toUser: "alice")
        #expect(connection.inbox.count == 2)
        if acks { try connection.handle?.ack(.upTo(1)) }
        self.fixture.settle()
        #expect(connection.handle?.closeInbox() == true)
        #expect(connection.handle?.closeInbox() == false)
        self.fixture.publish(toUser: "alice")
        #expect(connection.inbox.count == 2)
        connection.handle?.openInbox(windowMessages: 10, acks: acks) { error in if error == nil { opened += 1 } }
        self.fixture.settle()
        #expect(opened == 2)
        // The second again, if it was not acked; the third in any case.
        #expect(connection.inbox.count == (acks ? 4 : 3))
        #expect(connection.inbox.map(\.redelivered) == (acks ? [false, false, true, false] : [false, false, false]))
        device.breaks()
        self.fixture.publish(toUser: "alice")
        let next = self.fixture.connect(device, window: 64)
        #expect(next.inbox.count == (acks ? 3 : 1))
        self.fixture.publish(toUser: "alice")
        #expect(next.inbox.count == (acks ? 4 : 2))
    }

    // MARK: Memory

    @Test(arguments: [0, 3_600], [UInt8(0), 1, 2])
    func nothingGrows(expiry: Int, qos: UInt8) throws {
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, expiry: expiry)
        try self.fixture.subscribe(device, "news", qos: qos)
        for number in 0..<10_000 {
            self.fixture.node.publish([self.fixture.request("news", "\(number)")]) { _ in }
            if number % 20 == 19 {
                self.fixture.run()
                connection.sent = []
                connection.released = []
            }
            if number % 500 == 499 { self.fixture.advance(1_050) }
        }
        #expect(device.delivered.count == 10_000)
        self.fixture.advance(1_050)
        #expect(self.fixture.waiting("news") == 0)
        // Nothing is under way, and nothing is remembered of what was.
        #expect(!self.fixture.rows.contains { $0.state.count >= 24 })
        #expect(self.fixture.rows.count == (expiry > 0 ? 1 : 0))
    }

    @Test(arguments: [0, 3_600])
    func aSessionThatHasEndedIsLetGo(expiry: Int) throws {
        let device = self.fixture.device("a")
        var connection: Connection? = self.fixture.connect(device, expiry: expiry)
        try self.fixture.subscribe(device, "news", qos: 2)
        try self.fixture.subscribe(device, "jobs", qos: 1, share: "group")
        connection?.handle?.openInbox(windowMessages: 10, acks: true) { _ in }
        for topic in ["news", "jobs"] { self.publish(topic, 0..<30) }
        self.fixture.publish(toUser: "alice")
        #expect(device.answer(3))
        weak let session = connection?.handle
        // What is to be done once its state is stored is not done any more.
        try self.fixture.subscribe(device, "other", qos: 1, settle: false)
        device.breaks()
        device.connection = nil
        connection?.handle = nil
        connection = nil
        self.fixture.settle()
        self.fixture.advance(2_000)
        #expect(session == nil)
    }
}

/// What a release was answered with.
final class KnownNumbers: @unchecked Sendable {
    private(set) var values: [Bool?] = []
    func add(_ value: Bool?) { self.values.append(value) }
}
