import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// What is past its time leaves the file.
@Suite struct MaintenanceTests {
    let folder = TemporaryFolder()
    let clock = ContractClock()

    func open(_ limits: Limits = Limits()) throws -> SQLiteStore {
        let store = try openStore(self.folder, clock: self.clock, limits: limits)
        store.observe { _ in }
        return store
    }

    func count(_ table: String) -> Int64? { self.folder.integer("SELECT count(*) FROM \(table)") }

    /// Twice: what one pass schedules the next one does.
    func settleAll(_ store: SQLiteStore) async {
        for _ in 0..<3 { #expect(await settle(store) == nil) }
    }

    @Test func bodiesGoAtTheExpiryAndTheRestADayLater() async throws {
        let store = try self.open()
        _ = await store.append((0..<150).map { request("\($0)", ttl: 60) } + [request("live", ttl: 0)])
        _ = await store.append([request("last", ttl: 86_400 * 20)])
        await self.settleAll(store)
        #expect([self.count("message"), self.count("body"), self.count("entry")] == [152, 151, 151])
        self.clock.advance(milliseconds: 60_000)
        await self.settleAll(store)
        #expect([self.count("message"), self.count("body"), self.count("entry")] == [152, 1, 1])
        self.clock.advance(milliseconds: 86_400_000)
        await self.settleAll(store)
        #expect([self.count("message"), self.count("body"), self.count("entry")] == [1, 1, 1])
        #expect(self.count("expiry") == 1)
        #expect(try await everything(store, now: self.clock.now).count == 1)
        #expect(await store.stop() == nil)
    }

    @Test func theNewestRowStaysSoThatOffsetsGoOn() async throws {
        let store = try self.open()
        _ = await store.append([request("a", ttl: 1), request("b", ttl: 1)])
        let end = store.end
        self.clock.advance(milliseconds: 86_400_000 * 3)
        await self.settleAll(store)
        #expect(self.count("message") == 1)
        #expect(await store.stop() == nil)
        let again = try self.open()
        #expect(again.end == end)
        _ = await again.append([request("c")])
        #expect(again.end == end + 1)
        #expect(await again.stop() == nil)
    }

    @Test func keysCollapsesAndTrimsGo() async throws {
        var limits = Limits()
        limits.inboxMessages = 5
        let store = try self.open(limits)
        let requests = (0..<450).map { number in
            var one = request("\(number)", to: "u\(number % 3)", ttl: 60)
            one.idempotency = .init(key: "k\(number)", digest: [1])
            one.collapseKey = "c\(number % 10)"
            return one
        }
        _ = await store.append(requests)
        await self.settleAll(store)
        #expect([self.count("idempotency"), self.count("collapse"), self.count("trim")] == [450, 30, 3])
        #expect(self.count("entry") == 15)
        self.clock.advance(milliseconds: 86_400_000 + 60_000)
        await self.settleAll(store)
        #expect([self.count("idempotency"), self.count("collapse"), self.count("trim")] == [0, 0, 0])
        #expect(await store.stop() == nil)
    }

    @Test func devicesThatNeverCameBackGo() async throws {
        let store = try self.open()
        func opening(_ name: String) -> DeviceOpening {
            DeviceOpening(device: DeviceKey(app: .dev, name: name), user: "alice", fromNow: false, at: self.clock.wall)
        }
        for name in ["old", "new"] { _ = try await store.openDevice(opening(name)) }
        store.record([
            DeviceUpdate(
                device: opening("old").device, user: "alice", acked: Positions(all: 1), sent: Positions(all: 1),
                journal: [JournalRange(kind: .sent, lane: Lane(.user, .high), from: 1, to: 1, at: 1)],
                at: self.clock.wall)
        ])
        await self.settleAll(store)
        #expect(self.count("journal") == 1)
        self.clock.advance(milliseconds: 89 * 86_400_000)
        _ = try await store.openDevice(opening("new"))
        await self.settleAll(store)
        #expect(self.count("device") == 2)
        self.clock.advance(milliseconds: 2 * 86_400_000)
        await self.settleAll(store)
        #expect(self.count("device") == 1)
        #expect(self.count("journal") == 0)
        #expect(try await store.openDevice(opening("old")).isNew)
        #expect(await store.stop() == nil)
    }

    @Test func aDeviceInboxIsTrimmedByAck() async throws {
        let store = try self.open()
        let inbox = InboxKey.device("phone", in: .dev)
        let opening = DeviceOpening(
            device: DeviceKey(app: .dev, name: "phone"), user: "alice", fromNow: false, at: self.clock.wall)
        _ = try await store.openDevice(opening)
        for indexed in [true, false] {
            let requests = (0..<20).map {
                AppendRequest(app: .dev, targets: [inbox], members: Array("\"data\":\($0)".utf8))
            }
            _ = await store.append(requests + [request("alice's")])
            if indexed { await self.settleAll(store) }
            store.record([
                DeviceUpdate(
                    device: opening.device, user: "alice", acked: Positions(all: store.end - 6), sent: Positions(),
                    at: self.clock.wall)
            ])
            await self.settleAll(store)
        }
        // Five of the second twenty are not acked. Both of Alice's stay: her inbox keeps what one of her devices has
        // acked.
        #expect(self.count("entry") == 7)
        #expect(await store.stop() == nil)
    }

    @Test func countsStayRightThroughTrimsExpiriesAndRestarts() async throws {
        var limits = Limits()
        limits.inboxMessages = 10
        var store = try self.open(limits)
        for round in 0..<12 {
            _ = await store.append(
                (0..<7).map { request("\(round)-\($0)", priority: Priority.allCases[$0 % 3], ttl: 5 + round % 3 * 20) })
            if round % 3 == 1 { await self.settleAll(store) }
            if round % 4 == 2 { self.clock.advance(milliseconds: 6_000) }
            if round % 5 == 3 {
                #expect(await store.stop() == nil)
                store = try self.open(limits)
            }
            let found = try await everything(store, now: self.clock.now).count
            #expect(found <= 10)
        }
        self.clock.advance(milliseconds: 100_000)
        _ = await store.append((0..<10).map { request("\($0)") })
        #expect(try await everything(store, now: self.clock.now).count == 10, "exactly as many as the limit fit")
        #expect(await store.stop() == nil)
    }
}
