import CLossyVFS
import GRDBSQLite
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// What the contract does not see of records of sessions and of trims: the file, faults, backups.
@Suite struct SessionTests {
    let folder = TemporaryFolder()
    let clock = ContractClock()

    private func open(_ folder: TemporaryFolder? = nil, change: (inout SQLiteStoreConfiguration) -> Void = { _ in }) throws -> SQLiteStore {
        let store = try openStore(folder ?? self.folder, clock: self.clock, change: change)
        store.observe { _ in }
        return store
    }

    private func saving(_ name: String, _ settings: [UInt8]?, _ state: [UInt8]?) -> SessionSave {
        SessionSave(key: DeviceKey(app: .dev, name: name), change: .set(settings: settings, state: state))
    }

    /// Whatever is indexed, half indexed or only in memory when a trim comes, its rows leave the file.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func whatIsTrimmedLeavesTheFile(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let unindexed = [0, 60, 200][Int(seed % 3)]
        var store = try self.open { $0.unindexedEntries = unindexed }
        let names = ["a", "b", "c"]
        for step in 0..<120 {
            let name = names[Int(random.next() % 3)]
            switch random.next() % 12 {
            case 0..<7:
                let count = 1 + random.next() % 40
                _ = await store.append(
                    (0..<count).map { topicRequest("\(step)-\($0)", to: name, retain: step % 9 == 0 ? .set : .leave) })
            case 7..<11:
                let end = store.end
                store.trim(TopicKey(app: .dev, name: name), upTo: random.next() % 2 == 0 ? .max : end - random.next() % min(end + 1, 50))
            case 11 where step % 3 == 0:
                #expect(await store.stop() == nil)
                store = try self.open { $0.unindexedEntries = unindexed }
            default: #expect(await settle(store) == nil)
            }
        }
        for name in names.dropFirst() { store.trim(TopicKey(app: .dev, name: name), upTo: .max) }
        for _ in 0..<4 { #expect(await settle(store) == nil) }
        // A row that was the newest of all when its message went stays for a minute.
        self.clock.advance(milliseconds: 60_000)
        for _ in 0..<4 { #expect(await settle(store) == nil) }
        var kept: [UInt64] = []
        for name in names { kept += try await history(store, name, .after(0), now: self.clock.now).entries.map(\.message.offset) }
        #expect(self.folder.integer("SELECT count(*) FROM body") == Int64(kept.count))
        #expect(self.folder.integer("SELECT count(*) FROM topic_entry") == Int64(kept.count))
        #expect(store.gauges.messages == kept.count)
        // Besides, the rows of retained values, and the newest, which says where offsets go on.
        let others = self.folder.integer(
            """
            SELECT count(*) FROM message WHERE offset NOT IN (SELECT offset FROM topic_entry)
            AND offset NOT IN (SELECT offset FROM retained) AND offset < (SELECT max(offset) FROM message)
            """)
        #expect(others == 0)
        #expect(try await history(store, "#", .after(0), now: self.clock.now).gaps == [])
        #expect(await store.stop() == nil)
    }

    /// The index is written in slices, topic by topic: here the trim comes when those of the trimmed one still wait.
    @Test func whatIsTrimmedBetweenSlicesOfTheIndexLeavesTheFile() async throws {
        let store = try self.open { $0.unindexedEntries = 400 }
        _ = await store.append([topicRequest("first", to: "a")])
        _ = await store.append((0..<5).map { topicRequest("\($0)", to: "z") })
        for round in 0..<21 { _ = await store.append((0..<10).map { topicRequest("\(round)-\($0)", to: "a") }) }
        store.trim(TopicKey(app: .dev, name: "z"), upTo: .max)
        #expect(await store.save([]) == nil)
        for _ in 0..<4 { #expect(await settle(store) == nil) }
        #expect(self.folder.integer("SELECT count(*) FROM topic_entry") == 211)
        #expect(self.folder.integer("SELECT count(*) FROM body") == 211)
        #expect(await store.stop() == nil)
    }

    @Test(arguments: [SQLITE_FULL, SQLITE_IOERR | 3 << 8]) func aFailedSaveChangesNothing(code: Int32) async throws {
        lossy_vfs_register()
        let store = try self.open { $0.fileSystem = "lossy" }
        #expect(await store.save([self.saving("a", [1], [1])]) == nil)
        let before = try await store.loadSessions()
        lossy_vfs_fail_writes(self.folder.path, code, 0)
        for _ in 0..<3 {
            let error = await store.save([self.saving("a", nil, [2]), self.saving("b", nil, [2])])
            #expect(error?.reason == .unavailable)
            var message = topicRequest("x", to: "t")
            message.save = self.saving("c", nil, [2])
            guard case .failed? = await store.append([message]).first else { return #expect(Bool(false), "it was stored") }
            #expect(try await store.loadSessions() == before)
        }
        lossy_vfs_fail_writes(self.folder.path, 0, 0)
        #expect(await store.save([self.saving("a", nil, [3])]) == nil)
        #expect(try await store.loadSessions() == [SessionRow(key: before[0].key, settings: [1], state: [3])])
        #expect(await store.stop() == nil)
    }

    @Test func manyRecordsAreLoadedAtOnce() async throws {
        let store = try self.open()
        let settings = [UInt8](repeating: 1, count: 120)
        let state = [UInt8](repeating: 2, count: 200)
        for start in stride(from: 0, to: 50_000, by: 5_000) {
            #expect(await store.save((start..<start + 5_000).map { self.saving("client-\($0)", settings, state) }) == nil)
        }
        let clock = ContinuousClock()
        let start = clock.now
        let rows = try await store.loadSessions()
        print("sessions: 50,000 records loaded in \(clock.now - start)")
        #expect(rows.count == 50_000)
        #expect(rows.allSatisfy { $0.settings == settings && $0.state == state })
        #expect(await store.stop() == nil)
    }

    @Test func recordsAndMarksAreInABackup() async throws {
        let store = try self.open()
        var message = topicRequest("x", to: "t", retain: .set)
        message.marks = MessageMarks(rawValue: 0x2a0b)
        _ = await store.append([message])
        #expect(await store.save([self.saving("a", [1], [2])]) == nil)
        let target = TemporaryFolder()
        let file = target.path + "/one.backup"
        _ = try StoreBackup(folder: self.folder.path, target: file).run(wallMs: self.clock.wall) { _ in true }
        #expect(await store.save([self.saving("later", [1], [2])]) == nil)
        #expect(await store.stop() == nil)
        let restored = TemporaryFolder()
        _ = try StoreRestore(file: file, folder: restored.path).run(wallMs: self.clock.wall) { _ in true }
        let found = StoreInspection(folder: restored.path, isInUse: false, check: .full, limits: Limits()) { _ in true }
        #expect(found.failure == nil && found.damage == [])
        let again = try self.open(restored)
        #expect(again.epoch != store.epoch)
        let key = DeviceKey(app: .dev, name: "a")
        #expect(try await again.loadSessions() == [SessionRow(key: key, settings: [1], state: [2])], "as they were, in a new history")
        #expect(try await history(again, "t", .earliest, now: self.clock.now).entries.map(\.message.marks.rawValue) == [0x2a0b])
        #expect(await again.stop() == nil)
    }
}
