import CLossyVFS
import GRDBSQLite
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// Disks that are full, read-only or broken for a while.
@Suite struct FaultTests {
    let folder = TemporaryFolder()
    let clock = ContractClock()

    func open() throws -> SQLiteStore {
        lossy_vfs_register()
        return try openStore(self.folder, clock: self.clock) {
            $0.fileSystem = "lossy"
            $0.flushMs = 20
        }
    }

    @Test(arguments: [SQLITE_FULL, SQLITE_READONLY, SQLITE_IOERR | 3 << 8], [0, 1, 2, 3])
    func aFailedWriteFailsTheAppendAndNothingElse(code: Int32, after: Int64) async throws {
        let store = try self.open()
        let announced = Mutex<[MessageID]>([])
        store.observe { commits in
            for case .stored(let message, _, _) in commits { announced.withLock { $0.append(message.id) } }
        }
        let phone = DeviceOpening(
            device: DeviceKey(app: .dev, name: "phone"), user: "alice", fromNow: false, at: self.clock.wall)
        _ = try await store.openDevice(phone)
        var stored: [MessageID] = []
        for case .stored(let id, _) in await store.append([request("before")]) { stored.append(id) }

        lossy_vfs_fail_writes(self.folder.path, code, after)
        var failures = 0
        for _ in 0..<100 where failures < 3 {
            for outcome in await store.append([request("during"), request("during")]) {
                switch outcome {
                case .stored(let id, _): stored.append(id)
                case .failed(let error):
                    #expect(error.reason == .unavailable)
                    #expect(!error.detail.isEmpty)
                    failures += 1
                case .conflict: Issue.record("a conflict without a key")
                }
            }
        }
        #expect(failures >= 3, "the writes failed")
        store.record([
            DeviceUpdate(
                device: phone.device, user: "alice", acked: Positions(all: 1), sent: Positions(all: 1),
                at: self.clock.wall)
        ])
        #expect(try await store.openDevice(phone).acked == Positions(all: 1), "a known device can be opened")
        #expect(try await everything(store, now: self.clock.now).map(\.id) == stored, "readings go on")
        let tablet = DeviceOpening(
            device: DeviceKey(app: .dev, name: "tablet"), user: "alice", fromNow: false, at: self.clock.wall)
        await #expect(throws: StoreError.self) { _ = try await store.openDevice(tablet) }

        lossy_vfs_fail_writes(self.folder.path, 0, 0)
        for case .stored(let id, _) in await store.append([request("after")]) { stored.append(id) }
        #expect(try await everything(store, now: self.clock.now).map(\.id) == stored)
        #expect(announced.withLock { $0 } == stored, "only what was stored is announced")
        #expect(try await store.openDevice(tablet).isNew)
        #expect(await settle(store) == nil)
        #expect(await store.stop() == nil)

        let again = try self.open()
        again.observe { _ in }
        #expect(try await everything(again, now: self.clock.now).map(\.id) == stored)
        #expect(try await again.openDevice(phone).acked == Positions(all: 1), "positions were kept and written later")
        #expect(await again.stop() == nil)
    }

    @Test func aFailedSyncIsNotAcknowledgedAndNotDelivered() async throws {
        let store = try self.open()
        store.observe { _ in }
        var stored: [MessageID] = []
        for round in 0..<20 {
            if round % 3 == 1 { lossy_vfs_fail_syncs(self.folder.path, 1) }
            for outcome in await store.append([request("\(round)")]) {
                if case .stored(let id, _) = outcome { stored.append(id) } else { #expect(round % 3 == 1) }
            }
            #expect(try await everything(store, now: self.clock.now).map(\.id) == stored)
        }
        #expect(stored.count < 20, "the failures were seen")
        lossy_vfs_crash(self.folder.path)
        store.abandon()
        _ = lossy_vfs_restore(self.folder.path, 0)
        let again = try self.open()
        again.observe { _ in }
        let found = Set(try await everything(again, now: self.clock.now).map(\.id))
        #expect(found.isSuperset(of: stored))
        #expect(await again.stop() == nil)
    }

    @Test func aStopThatCannotWriteSaysSoAndIsUnclean() async throws {
        let store = try self.open()
        store.observe { _ in }
        _ = await store.append([request("a")])
        lossy_vfs_fail_writes(self.folder.path, SQLITE_FULL, 0)
        #expect(await store.stop()?.reason == .unavailable)
        lossy_vfs_fail_writes(self.folder.path, 0, 0)
        let again = try self.open()
        #expect(again.wasUnclean)
        again.observe { _ in }
        #expect(try await everything(again, now: self.clock.now).count == 1)
        #expect(await again.stop() == nil)
    }

    @Test func theLogStaysBoundedUnderConstantLoad() async throws {
        lossy_vfs_register()
        let store = try openStore(self.folder, clock: self.clock) {
            $0.fileSystem = "lossy"
            $0.checkpointBytes = 200_000
            $0.logBytes = 1_000_000
        }
        store.observe { _ in }
        let text = String(repeating: "x", count: 1_000)
        var largest = 0
        for _ in 0..<100 {
            _ = await store.append((0..<200).map { _ in request(text) })
            largest = max(largest, self.folder.size(of: "-wal"))
        }
        #expect(self.folder.size(of: "") > 10_000_000, "the file has grown")
        #expect(largest < 3_000_000, "the log reached \(largest) bytes")
        #expect(await store.stop() == nil)
    }
}
