import MartletCore
import MartletNode
import MartletTestSupport
import MartletWire
import Testing

/// How sessions end, and what the store has when their clients are told; how many there may be.
@Suite struct EndingTests {
    private let fixture = KeptFixture(steps: true)

    private func connected(_ name: String, expiry: Int = 3_600, will: Will? = nil) -> Device {
        let device = self.fixture.device(name)
        self.fixture.connect(device, expiry: expiry, will: will)
        self.fixture.run()
        return device
    }

    private func leave(_ device: Device, expiry: Int?) -> KnownNumbers {
        let done = KnownNumbers()
        device.connection?.handle?.leaves(withWill: false, expirySeconds: expiry) { done.add(true) }
        device.breaks()
        self.fixture.settle()
        return done
    }

    private func will(_ text: String, bytes: Int = 0) -> Will {
        Will(request: self.fixture.request("wills", text + String(repeating: "x", count: bytes)), delaySeconds: 0)
    }

    // MARK: The end

    @Test(arguments: [nil, 0, 60], [0, 3_600])
    func theEndIsStoredBeforeItIsTold(says: Int?, expiry: Int) {
        let device = self.connected("a", expiry: expiry, will: self.will("gone"))
        #expect(self.fixture.rows.count == 1)
        // A session that is not kept cannot be kept after all.
        let expiry = expiry == 0 ? 0 : says ?? expiry
        let done = self.leave(device, expiry: expiry)
        #expect(done.values.isEmpty)
        #expect(self.fixture.store.waitingChanges > 0)
        self.fixture.run()
        #expect(done.values == [true])
        self.fixture.crash()
        self.fixture.run()
        self.fixture.advance(2_000)
        self.fixture.run()
        #expect(self.fixture.rows.count == (expiry > 0 ? 1 : 0))
        #expect(self.fixture.rows.allSatisfy { KeptSession($0)?.will == nil })
        #expect(self.fixture.connect(device).welcome == nil)
        self.fixture.run()
        #expect(device.connection?.standing?.isResumed == (expiry > 0))
    }

    /// Who has nothing in the store waits for nothing.
    @Test func whoHasNothingThereIsToldAtOnce() {
        let device = self.connected("a", expiry: 0)
        self.fixture.store.cannotWrite = true
        #expect(self.leave(device, expiry: nil).values == [true])
        #expect(self.fixture.connect(device, clean: true, expiry: 0).welcome != nil)
    }

    @Test(arguments: [0, 60])
    func aStoreThatFailedIsToldAgain(expiry: Int) {
        let device = self.connected("a", will: self.will("gone"))
        self.fixture.store.cannotWrite = true
        let done = self.leave(device, expiry: expiry)
        self.fixture.run()
        #expect(done.values == [true])
        self.fixture.store.cannotWrite = false
        #expect(self.fixture.rows.allSatisfy { KeptSession($0)?.will != nil && KeptSession($0)?.expirySeconds == 3_600 })
        for _ in 0..<3 {
            self.fixture.advance(1_000)
            self.fixture.run()
        }
        #expect(self.fixture.rows.compactMap { KeptSession($0)?.expirySeconds } == (expiry > 0 ? [60] : []))
        #expect(self.fixture.rows.allSatisfy { KeptSession($0)?.will == nil })
    }

    // MARK: A clean start

    @Test func aCleanStartStandsWhenWhatWasIsDeleted() {
        let device = self.connected("a")
        _ = self.leave(device, expiry: 0)
        let connection = self.fixture.connect(device, clean: true, expiry: 0)
        #expect(connection.welcome == nil)
        self.fixture.run()
        #expect(connection.welcome != nil)
        #expect(self.fixture.rows.isEmpty)
        // From the next on there is nothing to wait for.
        device.breaks()
        self.fixture.run()
        #expect(self.fixture.connect(device, clean: true, expiry: 0).welcome != nil)
    }

    @Test(arguments: [0, 60])
    func aCleanStartIsRefusedWhileWhatWasCannotBeDeleted(expiry: Int) {
        let device = self.connected("a")
        self.fixture.store.cannotWrite = true
        _ = self.leave(device, expiry: 0)
        self.fixture.run()
        for _ in 0..<2 {
            let connection = self.fixture.connect(device, clean: true, expiry: expiry)
            self.fixture.run()
            #expect(connection.refusal?.code == .storeUnavailable)
            self.fixture.advance(1_000)
            self.fixture.run()
        }
        self.fixture.store.cannotWrite = false
        let connection = self.fixture.connect(device, clean: true, expiry: expiry)
        self.fixture.run()
        #expect(connection.standing?.isResumed == false)
        // What was tried in vain is not tried again now.
        self.fixture.advance(3_000)
        self.fixture.run()
        #expect(self.fixture.rows.count == (expiry > 0 ? 1 : 0))
    }

    /// A client that is as late as that finds nothing, though nobody has looked for what is due.
    @Test func whatHasExpiredIsNotThere() {
        let device = self.connected("a", expiry: 1)
        device.breaks()
        self.fixture.run()
        self.fixture.clock.advance(1_500)
        self.fixture.connect(device)
        self.fixture.run()
        #expect(device.connection?.standing?.isResumed == false)
    }

    // MARK: Wills of sessions that are not kept

    @Test(arguments: [0, 60])
    func aWillOutlivesTheServer(expiry: Int) throws {
        let watcher = self.connected("watcher")
        try self.fixture.subscribe(watcher, "wills", qos: 2)
        self.fixture.run()
        _ = self.connected("a", expiry: expiry, will: self.will("a"))
        let other = self.connected("b", expiry: expiry, will: self.will("b"))
        // Of another the end was stored, with the will.
        other.breaks()
        self.fixture.run()
        #expect(watcher.delivered == ["b"])
        for _ in 0..<2 {
            self.fixture.crash()
            self.fixture.run()
            self.fixture.advance(2_000)
            self.fixture.run()
        }
        self.fixture.connect(watcher)
        self.fixture.run()
        #expect(watcher.delivered == ["b", "a"])
        #expect(self.fixture.rows.count == (expiry > 0 ? 3 : 1))
    }

    /// Nobody who dies in the moment of the end hears a will twice, or not at all.
    @Test(arguments: 0..<6, [0, 60])
    func aWillComesOnceWhateverIsStored(committed: Int, expiry: Int) throws {
        let watcher = self.connected("watcher")
        try self.fixture.subscribe(watcher, "wills", qos: 2)
        self.fixture.run()
        let device = self.connected("a", expiry: expiry, will: self.will("a"))
        device.breaks()
        self.fixture.settle()
        self.fixture.crash(committing: committed)
        for _ in 0..<3 {
            self.fixture.run()
            self.fixture.advance(1_000)
        }
        self.fixture.connect(watcher)
        self.fixture.run()
        #expect(watcher.delivered == ["a"])
    }

    // MARK: Limits

    @Test func oneUserKeepsNotMoreThanItMay() throws {
        let fixture = KeptFixture { $0.keptSessionsPerUser = 2 }
        func connect(_ name: String, _ user: String?, clean: Bool = false, expiry: Int = 60) -> ErrorCode? {
            fixture.connect(fixture.device(name, user: user), clean: clean, expiry: expiry).refusal?.code
        }
        #expect(connect("a", "alice") == nil)
        #expect(connect("b", "alice") == nil)
        #expect(connect("c", "alice") == .tooManySessions)
        #expect(connect("c", "alice", expiry: 0) == nil)
        // The same again is none more; others and nobody have their own.
        #expect(connect("a", "alice") == nil)
        #expect(connect("b", "alice", clean: true) == nil)
        #expect(connect("d", "bob") == nil)
        for number in 0..<5 { #expect(connect("n\(number)", nil) == nil) }
        // Groups count for nobody.
        let device = fixture.device("d", user: "bob")
        fixture.connect(device)
        for group in ["x", "y", "z"] { try fixture.subscribe(device, "news", qos: 1, share: group) }
        #expect(connect("e", "bob") == nil)
        // What another user takes over is that one's; who has no room leaves it as it was.
        #expect(connect("d", "alice", clean: true) == .tooManySessions)
        #expect(fixture.connect(device).standing?.isResumed == true)
        device.connection?.handle?.leaves(withWill: false, expirySeconds: 0) {}
        #expect(connect("f", "bob") == nil)
        #expect(connect("g", "bob") == .tooManySessions)
        fixture.crash()
        #expect(connect("g", "bob") == .tooManySessions)
        #expect(connect("e", "bob") == nil)
    }

    @Test(arguments: [0, 60])
    func willsHaveABudget(expiry: Int) {
        let fixture = KeptFixture { $0.willBytes = 5_000 }
        let devices = (0..<4).map { fixture.device("\($0)") }
        func connect(_ index: Int, _ bytes: Int) -> ErrorCode? {
            fixture.connect(devices[index], clean: true, expiry: expiry, will: bytes == 0 ? nil : self.will("w", bytes: bytes)).refusal?.code
        }
        #expect(connect(0, 2_000) == nil)
        #expect(connect(1, 2_000) == nil)
        #expect(connect(2, 2_000) == .tooManySessions)
        #expect(connect(2, 0) == nil)
        #expect(connect(3, 200) == nil)
        // One's own goes for it.
        #expect(connect(1, 2_100) == nil)
        #expect(connect(1, 100) == nil)
        #expect(connect(2, 2_000) == nil)
        // One that is gone leaves its room.
        #expect(connect(1, 2_000) == .tooManySessions)
        devices[0].breaks()
        fixture.settle()
        #expect(connect(1, 2_000) == nil)
        // After a start they count as before, until they are published.
        fixture.crash()
        for device in devices { device.connection = nil }
        fixture.advance(2_000)
        #expect(connect(0, 2_000) == nil)
        #expect(connect(1, 2_000) == nil)
        #expect(connect(2, 2_000) == .tooManySessions)
    }
}
