import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// What is published for clients that go without a word, and sessions whose store fails or whose node goes down.
@Suite struct WillTests {
    private let fixture = KeptFixture()
    private let watcher: Device

    init() throws {
        self.watcher = self.fixture.device("watcher")
        self.fixture.connect(self.watcher)
        try self.fixture.subscribe(self.watcher, "wills", qos: 2)
    }

    private func will(_ text: String = "gone", delay: Int = 0) -> Will {
        Will(request: self.fixture.request("wills", text), delaySeconds: delay)
    }

    private var published: [String] {
        self.fixture.run()
        return self.watcher.delivered
    }

    // MARK: Wills

    @Test(arguments: [0, 3_600])
    func aWillIsPublishedWhenTheConnectionBreaks(expiry: Int) {
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: expiry, will: self.will())
        #expect(self.published.isEmpty)
        device.breaks()
        #expect(self.published == ["gone"])
        self.fixture.advance(5_000)
        self.fixture.connect(device, expiry: expiry)
        device.breaks()
        self.fixture.crash()
        self.fixture.connect(self.watcher)
        self.fixture.advance(5_000)
        #expect(self.published == ["gone"])
    }

    @Test func whoTakesLeaveHasNoWillUnlessItSaysSo() {
        let device = self.fixture.device("a")
        for withWill in [false, true] {
            for expiry in [0, 3_600] {
                self.fixture.connect(device, expiry: expiry, will: self.will("\(withWill) \(expiry)"))
                device.connection?.handle?.leaves(withWill: withWill, expirySeconds: nil) {}
                device.breaks()
            }
        }
        #expect(self.published == ["true 0", "true 3600"])
    }

    @Test func aWillWaits() {
        let device = self.fixture.device("a")
        self.fixture.connect(device, will: self.will(delay: 10))
        device.breaks()
        self.fixture.advance(8_000)
        #expect(self.published.isEmpty)
        // Back in time.
        self.fixture.connect(device, will: self.will("second", delay: 10))
        self.fixture.advance(20_000)
        #expect(self.published.isEmpty)
        device.breaks()
        self.fixture.advance(9_000)
        #expect(self.published.isEmpty)
        self.fixture.advance(2_500)
        #expect(self.published == ["second"])
        self.fixture.advance(20_000)
        #expect(self.published == ["second"])
        #expect(self.fixture.connect(device).standing?.isResumed == true)
    }

    @Test func theEndOfTheSessionEndsTheWait() {
        let device = self.fixture.device("a")
        self.fixture.connect(device, expiry: 5, will: self.will(delay: 3_600))
        device.breaks()
        self.fixture.advance(4_000)
        #expect(self.published.isEmpty)
        self.fixture.advance(2_500)
        #expect(self.published == ["gone"])
        // So does a clean start.
        self.fixture.connect(device, will: self.will("dropped", delay: 3_600))
        device.breaks()
        self.fixture.connect(device, clean: true)
        #expect(self.published == ["gone", "dropped"])
        // One whose session ends with its connection has no wait.
        self.fixture.connect(device, clean: true, expiry: 0, will: self.will("at once", delay: 3_600))
        device.breaks()
        #expect(self.published == ["gone", "dropped", "at once"])
    }

    @Test func aCrashIsABrokenConnection() {
        let device = self.fixture.device("a")
        let other = self.fixture.device("b")
        self.fixture.connect(device, will: self.will())
        self.fixture.connect(other, will: self.will("later", delay: 10))
        self.fixture.crash()
        self.fixture.connect(self.watcher)
        self.fixture.advance(2_000)
        #expect(self.published == ["gone"])
        self.fixture.advance(10_000)
        #expect(self.published == ["gone", "later"])
        self.fixture.crash()
        self.fixture.connect(self.watcher)
        self.fixture.advance(20_000)
        #expect(self.published == ["gone", "later"])
    }

    // MARK: Connections that end before they have begun

    @Test func whoGoesBeforeTheSessionStandsLeavesItAsItWas() throws {
        let fixture = KeptFixture(steps: true)
        let device = fixture.device("a")
        fixture.connect(device, will: Will(request: fixture.request("wills", "first"), delaySeconds: 30))
        fixture.run()
        try fixture.subscribe(device, "news", qos: 1)
        fixture.run()
        device.breaks()
        fixture.run()
        // Not begun: the store has not answered.
        let connection = fixture.connect(device, expiry: 5)
        #expect(connection.welcome == nil)
        device.breaks()
        fixture.run()
        fixture.node.publish([fixture.request("news", "a")]) { _ in }
        fixture.run()
        fixture.advance(20_000)
        fixture.run()
        let next = fixture.connect(device, expiry: 5)
        fixture.run()
        #expect(next.standing?.isResumed == true)
        #expect(device.delivered == ["a"])
        let new = fixture.device("new")
        fixture.connect(new, expiry: 5)
        new.breaks()
        fixture.run()
        #expect(fixture.rows.map(\.key.name) == ["a"])
        // It still ends in its time.
        device.breaks()
        fixture.connect(device, expiry: 5)
        device.breaks()
        fixture.run()
        for _ in 0..<8 {
            fixture.advance(1_000)
            fixture.run()
        }
        #expect(fixture.rows.isEmpty)
    }

    // MARK: The store fails

    @Test func withoutTheStoreNothingBeginsOrIsAcked() throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device)
        try self.fixture.subscribe(device, "news", qos: 2)
        let connection = try #require(device.connection)
        self.fixture.publish("news", "a")
        #expect(connection.texts == ["a"])
        self.fixture.store.cannotWrite = true
        #expect(try !self.fixture.publish(device, "news", "b", number: 1).value.isStored)
        #expect(try !self.fixture.publish(device, "plain", "c", number: 2).value.isStored)
        #expect(self.fixture.connect(self.fixture.device("new")).refusal?.code == .storeUnavailable)
        #expect(try !self.fixture.subscribe(device, "other", qos: 1))
        #expect(connection.closed == .storeUnavailable)
        #expect(self.fixture.connect(device).refusal?.code == .storeUnavailable)
        self.fixture.store.cannotWrite = false
        let next = self.fixture.connect(device)
        #expect(next.standing?.isResumed == true)
        #expect(next.sent.map(\.ticket.isRepeated) == [true])
        // Its number was given back.
        #expect(try self.fixture.publish(device, "news", "b", number: 1).value.isStored)
        self.fixture.run()
        #expect(device.delivered == ["a", "b"])
    }

    /// The transport answers in order, so what comes again is not answered before what came first is.
    @Test(arguments: [false, true])
    func aPublishThatComesAgainIsPublishedOnlyIfTheFirstFailed(fails: Bool) throws {
        let fixture = KeptFixture(steps: true)
        let device = fixture.device("a")
        fixture.connect(device)
        fixture.run()
        fixture.store.cannotWrite = fails
        let first = try fixture.publish(device, "news", "x", number: 1)
        let handle = try #require(device.connection?.handle)
        #expect(try handle.ready(fixture.request("news", "x"), number: 1) == nil)
        fixture.run()
        #expect(first.value.isStored == !fails)
        #expect(try (handle.ready(fixture.request("news", "x"), number: 1) == nil) == !fails)
    }

    /// The client is back before it is known that what it published was not stored.
    @Test func aNumberWhosePublishFailedIsFreeForWhoIsBack() throws {
        let fixture = KeptFixture(steps: true)
        let device = fixture.device("a")
        fixture.connect(device)
        fixture.run()
        let reader = fixture.device("reader")
        fixture.connect(reader)
        fixture.run()
        try fixture.subscribe(reader, "news", qos: 2)
        fixture.run()
        let first = try fixture.publish(device, "news", "x", number: 1)
        device.breaks()
        fixture.connect(device, shard: 1)
        fixture.store.cannotWrite = true
        fixture.store.commit(1)
        fixture.store.cannotWrite = false
        fixture.run()
        #expect(!first.value.isStored)
        #expect(device.connection?.standing?.isResumed == true)
        let again = try fixture.publish(device, "news", "x", number: 1)
        fixture.run()
        #expect(again.value.isStored)
        #expect(reader.delivered == ["x"])
    }

    @Test func aReceiptIsNotAnsweredBeforeItIsStored() throws {
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device)
        try self.fixture.subscribe(device, "news", qos: 2)
        self.fixture.publish("news", "a")
        self.fixture.store.cannotWrite = true
        #expect(device.answer())
        self.fixture.settle()
        #expect(connection.released.isEmpty)
        #expect(connection.closed == .storeUnavailable)
        self.fixture.store.cannotWrite = false
        self.fixture.connect(device)
        self.fixture.run()
        #expect(device.delivered == ["a"])
        #expect(device.once.isEmpty)
    }

    @Test func whatCannotBeReadAgainEndsTheConnection() throws {
        let device = self.fixture.device("a")
        self.fixture.connect(device)
        try self.fixture.subscribe(device, "news", qos: 1)
        self.fixture.publish("news", "a")
        device.breaks()
        self.fixture.publish("news", "b")
        self.fixture.store.cannotRead = true
        let next = self.fixture.connect(device)
        #expect(next.closed == .storeUnavailable)
        #expect(next.sent.isEmpty)
        self.fixture.store.cannotRead = false
        self.fixture.connect(device)
        self.fixture.run()
        #expect(device.delivered == ["a", "a", "b"])
    }

    // MARK: Going down

    @Test func whatIsAckedWhileTheNodeGoesDownIsKept() throws {
        let device = self.fixture.device("a")
        let connection = self.fixture.connect(device, window: 4)
        try self.fixture.subscribe(device, "news", qos: 1)
        for number in 0..<6 { self.fixture.publish("news", "\(number)") }
        self.fixture.node.drain()
        self.fixture.settle()
        #expect(connection.closed == .serviceRestart)
        #expect(device.answer(2))
        self.fixture.settle()
        #expect(connection.texts == ["0", "1", "2", "3"])
        #expect(self.fixture.connect(self.fixture.device("b")).refusal?.code == .draining)
        let done = KnownNumbers()
        self.fixture.node.flushPositions { done.add(true) }
        self.fixture.settle()
        #expect(done.values == [true])
        self.fixture.crash()
        let next = self.fixture.connect(device)
        self.fixture.run()
        #expect(next.texts == ["2", "3", "4", "5"])
        #expect(next.sent.map(\.ticket.isRepeated) == [true, true, false, false])
    }

    /// What is held back until the store has it is not sent to one who was told to go.
    @Test func nothingGoesOutAfterTheEnd() throws {
        let fixture = KeptFixture(steps: true)
        let device = fixture.device("a")
        fixture.connect(device)
        fixture.run()
        try fixture.subscribe(device, "news", qos: 2)
        fixture.run()
        fixture.node.publish([fixture.request("news", "a")]) { _ in }
        fixture.store.commit(.max)
        while fixture.store.deliver() {}
        fixture.settle()
        fixture.node.drain()
        fixture.run()
        #expect(device.connection?.closed == .serviceRestart)
        #expect(device.sent.isEmpty)
        device.breaks()
        fixture.run()
        fixture.crash()
        fixture.connect(device)
        fixture.run()
        #expect(device.delivered == ["a"])
    }
}
