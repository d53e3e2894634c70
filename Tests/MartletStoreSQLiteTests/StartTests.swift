import Foundation
import GRDBSQLite
import Logging
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// How a store starts, from whatever it finds.
@Suite struct StartTests {
    let folder = TemporaryFolder()
    let clock = ContractClock()

    private func execute(_ sql: String) throws {
        var db: OpaquePointer?
        try #require(sqlite3_open(self.folder.database, &db) == SQLITE_OK)
        try #require(sqlite3_exec(db, sql, nil, nil, nil) == SQLITE_OK)
        sqlite3_close(db)
    }

    /// The sentence with which a start is refused.
    private func refusal(_ folder: TemporaryFolder) -> String? {
        do {
            _ = try openStore(folder, clock: self.clock)
            return nil
        } catch {
            return (error as? StoreStartError)?.description
        }
    }

    private func fill(_ count: Int = 100) async throws {
        let store = try openStore(self.folder, clock: self.clock)
        store.observe { _ in }
        _ = await store.append((0..<count).map { request("\($0)") })
        try #require(await store.stop() == nil)
    }

    @Test func aNewerSchemaIsRefused() async throws {
        try await self.fill()
        try self.execute("PRAGMA user_version = 999")
        #expect(try #require(self.refusal(self.folder)).contains("newer Martlet"))
    }

    @Test func theFirstSchemaIsBroughtUpToDate() async throws {
        try await self.fill()
        try self.execute(
            """
            DROP TABLE session; ALTER TABLE message DROP COLUMN marks; DROP INDEX message_topic; DROP TABLE topic; DROP TABLE topic_entry; DROP TABLE retained; DROP TABLE topic_floor;
            ALTER TABLE message DROP COLUMN topic; ALTER TABLE message DROP COLUMN born; ALTER TABLE message DROP COLUMN state;
            DROP INDEX idempotency_age; CREATE INDEX idempotency_expires ON idempotency (expires); PRAGMA user_version = 1
            """)
        try await self.fill()
        // Fails if the index is not there.
        try self.execute("SELECT count(*) FROM idempotency INDEXED BY idempotency_age WHERE app = 1")
        let store = try openStore(self.folder, clock: self.clock)
        store.observe { _ in }
        #expect(try await everything(store, now: self.clock.now).count == 200, "what was there is kept")
        _ = await store.append([topicRequest("a", to: "t")])
        #expect(try await history(store, "t", .earliest, now: self.clock.now).entries.count == 1)
        #expect(await store.stop() == nil)
    }

    @Test(arguments: [false, true]) func aSchemaWithoutSessionsIsBroughtUpToDate(isIndexed: Bool) async throws {
        var store = try openStore(self.folder, clock: self.clock)
        store.observe { _ in }
        _ = await store.append([topicRequest("a", to: "t", retain: .set), request("b")])
        if isIndexed { #expect(await store.stop() == nil) } else { store.abandon() }
        try self.execute(
            "DROP TABLE session; ALTER TABLE message DROP COLUMN marks; ALTER TABLE retained DROP COLUMN marks; PRAGMA user_version = 3")
        store = try openStore(self.folder, clock: self.clock)
        store.observe { _ in }
        let filter = TopicFilter(topic: "t")
        for (count, marks) in [(1, UInt64(0)), (2, 0x1ff)] {
            let found = try await history(store, "t", .earliest, now: self.clock.now).entries.map(\.message)
            #expect(found.count == count && found.last?.marks.rawValue == marks)
            #expect(try await store.retained(filter, app: .dev, limit: 1, now: self.clock.now).first?.message.marks.rawValue == marks)
            var next = topicRequest("c", to: "t", retain: .set)
            next.marks = MessageMarks(rawValue: 0x1ff)
            next.save = SessionSave(key: DeviceKey(app: .dev, name: "s"), change: .set(settings: nil, state: [1]))
            _ = await store.append([next])
        }
        #expect(try await everything(store, now: self.clock.now).map(\.marks.rawValue) == [0])
        #expect(try await store.loadSessions().map(\.state) == [[1]])
        #expect(await store.stop() == nil)
    }

    @Test func keysAboveALoweredLimitAreForgottenInSmallSteps() async throws {
        var limits = Limits()
        let store = try openStore(self.folder, clock: self.clock, limits: limits)
        store.observe { _ in }
        for number in 0..<10 {
            self.clock.advance(milliseconds: 1)
            _ = await store.append([keyed(number)])
        }
        try #require(await store.stop() == nil)
        limits.idempotencyEntries = 4
        let again = try openStore(self.folder, clock: self.clock, limits: limits)
        again.observe { _ in }
        for number in 10..<16 {
            self.clock.advance(milliseconds: 1)
            _ = await again.append([keyed(number)])
        }
        for (number, repeated) in [(15, true), (12, true), (11, false)] {
            guard case .stored(_, let isRepeat)? = await again.append([keyed(number)]).first else {
                Issue.record("not stored")
                continue
            }
            #expect(isRepeat == repeated, "key \(number)")
        }
        try #require(await again.stop() == nil)
    }

    private func keyed(_ number: Int) -> AppendRequest {
        AppendRequest(
            app: .dev, targets: [.user("alice", in: .dev)], idempotency: .init(key: "k\(number)", digest: [1]),
            members: Array("\"data\":1".utf8))
    }

    @Test func aDamagedHeaderIsRefused() async throws {
        try await self.fill()
        let file = try #require(FileHandle(forWritingAtPath: self.folder.database))
        try file.write(contentsOf: Data("this is no database ".utf8))
        try file.close()
        #expect(try #require(self.refusal(self.folder)).contains("damaged"))
    }

    @Test func aDamagedPageIsRefused() async throws {
        try await self.fill(1_000)
        let file = try #require(FileHandle(forWritingAtPath: self.folder.database))
        let size = self.folder.size(of: "")
        for page in 5..<(size / 4_096) {
            try file.seek(toOffset: UInt64(page * 4_096))
            try file.write(contentsOf: Data(repeating: 0xa5, count: 64))
        }
        try file.close()
        #expect(try #require(self.refusal(self.folder)).contains("damaged"))
    }

    @Test func aFolderInUseIsRefused() async throws {
        let store = try openStore(self.folder, clock: self.clock)
        #expect(try #require(self.refusal(self.folder)).contains("Another martlet"))
        #expect(await store.stop() == nil)
        #expect(self.refusal(self.folder) == nil, "it is free after the stop")
    }

    @Test func aFolderThatCannotBeMadeIsRefused() throws {
        let file = self.folder.path + "/file"
        try #require(FileManager.default.createFile(atPath: file, contents: Data()))
        var configuration = SQLiteStoreConfiguration(folder: file + "/below")
        configuration.readers = 1
        #expect(throws: StoreStartError.self) {
            _ = try SQLiteStore(
                configuration, environment: SQLiteStoreEnvironment(now: { 0 }, wall: { 0 }),
                logger: .init(label: "test"))
        }
    }

    @Test(arguments: [Durability.full, .normal, .memory])
    func anUncleanStopIsRemembered(durability: Durability) async throws {
        let store = try openStore(self.folder, clock: self.clock, durability: durability)
        #expect(!store.wasUnclean)
        store.observe { _ in }
        let phone = DeviceOpening(
            device: DeviceKey(app: .dev, name: "phone"), user: "alice", fromNow: false, reserve: 10, at: self.clock.wall
        )
        _ = try await store.openDevice(phone)
        _ = await store.append([request("a"), request("b")])
        let epoch = store.epoch
        let end = store.end
        // A killed process leaves its files as they are.
        let copy = try self.folder.copy()
        #expect(await store.stop() == nil)

        let killed = try openStore(copy, clock: self.clock, durability: .full)
        #expect(killed.wasUnclean)
        #expect((killed.epoch == epoch) == (durability == .full), "only with full nothing can be missing")
        killed.observe { _ in }
        let again = try await killed.openDevice(phone)
        #expect(again.suspect == Positions(all: end), "anything may have been sent before the kill")
        #expect(again.nextSeq >= 11, "any reserved number may have been used")
        let watch = DeviceOpening(
            device: DeviceKey(app: .dev, name: "watch"), user: "alice", fromNow: false, at: self.clock.wall)
        #expect(try await killed.openDevice(watch).suspect == Positions(), "but not to a new device")
        #expect(try await everything(killed, now: self.clock.now).count == 2)
        let later = killed.epoch
        #expect(await killed.stop() == nil)

        let clean = try openStore(copy, clock: self.clock, durability: .full)
        #expect(!clean.wasUnclean)
        #expect(clean.epoch == later)
        clean.observe { _ in }
        _ = await clean.append([request("c")])
        #expect(try await clean.openDevice(phone).suspect == Positions(all: end), "not beyond that kill")
        #expect(try await clean.openDevice(watch).suspect == Positions(), "after a clean stop what was sent is known")
        #expect(await clean.stop() == nil)
    }

    @Test func whatWasNotIndexedIsThereAfterAKill() async throws {
        let store = try openStore(self.folder, clock: self.clock) { $0.unindexedEntries = 300 }
        store.observe { _ in }
        var ids: [MessageID] = []
        for round in 0..<40 {
            for case .stored(let id, _) in await store.append((0..<37).map { request("\(round)-\($0)") }) {
                ids.append(id)
            }
            if round % 10 == 4 {
                _ = try await store.recall(ids[ids.count - 5], app: .dev)
                ids.remove(at: ids.count - 5)
            }
            guard round % 8 == 7 else { continue }
            let copy = try self.folder.copy()
            let killed = try openStore(copy, clock: self.clock) { $0.unindexedEntries = 300 }
            killed.observe { _ in }
            #expect(try await everything(killed, now: self.clock.now).map(\.id) == ids)
            #expect(await settle(killed) == nil)
            #expect(try await everything(killed, now: self.clock.now).map(\.id) == ids, "and when all is indexed")
            #expect(await killed.stop() == nil)
        }
        #expect(await store.stop() == nil)
    }

    @Test func everyIDIsFoundAndNoOther() async throws {
        let store = try openStore(self.folder, clock: self.clock)
        store.observe { _ in }
        var ids: [MessageID] = []
        for round in 0..<60 {
            self.clock.stepWall(milliseconds: round % 3 == 0 ? -50 : 7)
            for case .stored(let id, _) in await store.append((0..<(round % 7 + 1)).map { request("\($0)") }) {
                ids.append(id)
            }
        }
        for id in ids {
            let status = try await store.status(StatusRequest(app: .dev, id: id, now: self.clock.now))
            #expect(status?.id == id)
            for near in [MessageID(high: id.high, low: id.low &+ 1), MessageID(high: id.high &- 1, low: id.low)]
            where !ids.contains(near) {
                #expect(try await store.status(StatusRequest(app: .dev, id: near, now: self.clock.now)) == nil)
            }
        }
        for edge in [MessageID(high: 0, low: 0), MessageID(high: .max, low: .max)] {
            #expect(try await store.status(StatusRequest(app: .dev, id: edge, now: self.clock.now)) == nil)
        }
        #expect(await store.stop() == nil)
    }

    @Test func theClockIsKept() async throws {
        let sample = ClockSample(serverMs: 123, bootMs: 45, bootID: "a b c")
        var configuration = SQLiteStoreConfiguration(folder: self.folder.path)
        configuration.readers = 1
        let environment = SQLiteStoreEnvironment(now: { 1_000 }, wall: { 2_000 }, clockSample: { sample })
        let store = try SQLiteStore(configuration, environment: environment, logger: .init(label: "test"))
        #expect(store.loadClock() == nil)
        store.observe { _ in }
        _ = await store.append([request("a")])
        #expect(await store.stop() == nil)
        let again = try SQLiteStore(configuration, environment: environment, logger: .init(label: "test"))
        #expect(again.loadClock() == sample)
        #expect(await again.stop() == nil)
    }
}
