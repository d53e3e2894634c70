import CLossyVFS
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// A file system that takes back, at a crash, what was not synced: what was acknowledged must be there after it.
@Suite struct CrashTests {
    /// What the callers were told in one run.
    struct Told {
        var stored: [MessageID] = []
        var recalled: Set<MessageID> = []
        var devices: [String] = []
    }

    struct Tally {
        var crashes = 0
        var acknowledged = 0
        /// Acknowledged messages that were gone, recalled ones that were back, devices that were forgotten, stores that
        /// did not open.
        var broken = 0
        var writesTakenBack: Int64 = 0
    }

    private static let wall = ContractClock().wall

    /// A crash comes at the latest at this many writes and syncs of a store.
    private static let mostCalls: UInt64 = 800

    /// Runs, crashes and opens a store again and again.
    func run(crashes: Int, durability: Durability, seed: UInt64) async throws -> Tally {
        lossy_vfs_register()
        var random = SeededRandom(seed)
        var tally = Tally()
        var folder = TemporaryFolder()
        let clock = ContractClock()
        for crash in 0..<crashes {
            if crash % 50 == 0 { folder = TemporaryFolder() }
            let user = "u\(crash)"
            let store: SQLiteStore
            do {
                store = try self.open(folder, clock, durability)
            } catch {
                tally.broken += 1
                folder = TemporaryFolder()
                continue
            }
            store.observe { _ in }
            lossy_vfs_crash_at(folder.path, Int64(1 + random.next() % Self.mostCalls))
            let answers = await self.publish(to: store, user: user, seed: random.next())
            store.abandon()
            tally.writesTakenBack += lossy_vfs_restore(folder.path, random.next() % 2 == 0 ? 0 : random.next())
            tally.crashes += 1
            tally.acknowledged += answers.stored.count
            tally.broken += try await self.check(folder, clock, durability, user, answers)
        }
        return tally
    }

    private func open(_ folder: TemporaryFolder, _ clock: ContractClock, _ durability: Durability) throws -> SQLiteStore {
        try openStore(folder, clock: clock, durability: durability) {
            $0.fileSystem = "lossy"
            $0.unindexedEntries = 20
            $0.checkpointBytes = 100_000
            $0.flushMs = 5
        }
    }

    /// Four publishers, each waiting for its answers, until the store fails.
    private func publish(to store: SQLiteStore, user: String, seed: UInt64) async -> Told {
        await withTaskGroup(of: Told.self) { group in
            for publisher in 0..<4 {
                group.addTask {
                    var random = SeededRandom(seed &+ UInt64(publisher))
                    var told = Told()
                    for number in 0..<20_000 {
                        let requests = (0...random.next() % 3).map { request("\(publisher)-\(number)-\($0)", to: user) }
                        var failed = false
                        for outcome in await store.append(requests) {
                            if case .stored(let id, _) = outcome { told.stored.append(id) } else { failed = true }
                        }
                        if failed { break }
                        if number % 7 == 3, let id = told.stored.randomElement(using: &random),
                            (try? await store.recall(id, app: .dev)) == .recalled
                        {
                            told.recalled.insert(id)
                        }
                        if number % 5 == 2 {
                            let name = "\(user)-\(publisher)-\(number)"
                            let opening = DeviceOpening(
                                device: DeviceKey(app: .dev, name: name), user: nil, fromNow: true, at: Self.wall)
                            if (try? await store.openDevice(opening)) != nil { told.devices.append(name) }
                        }
                    }
                    return told
                }
            }
            var all = Told()
            for await told in group {
                all.stored += told.stored
                all.recalled.formUnion(told.recalled)
                all.devices += told.devices
            }
            return all
        }
    }

    private func check(
        _ folder: TemporaryFolder, _ clock: ContractClock, _ durability: Durability, _ user: String, _ told: Told
    ) async throws -> Int {
        let store: SQLiteStore
        do { store = try self.open(folder, clock, durability) } catch { return told.stored.count }
        store.observe { _ in }
        defer { store.abandon() }
        var broken = 0
        do {
            let ids = try await everything(store, of: user, now: clock.now).map(\.id)
            broken += zip(ids, ids.dropFirst()).count { $0 >= $1 }
            let found = Set(ids)
            for id in told.stored {
                let wanted = !told.recalled.contains(id)
                // A recall that was asked for and not answered may or may not hold.
                if wanted, !found.contains(id), try await !self.isRecalled(id, store) { broken += 1 }
                if !wanted, found.contains(id) { broken += 1 }
            }
            for name in told.devices {
                let opening = DeviceOpening(
                    device: DeviceKey(app: .dev, name: name), user: nil, fromNow: false, at: Self.wall)
                if try await store.openDevice(opening).isNew { broken += 1 }
            }
        } catch {
            broken += 1
        }
        return broken
    }

    private func isRecalled(_ id: MessageID, _ store: SQLiteStore) async throws -> Bool {
        try await store.status(StatusRequest(app: .dev, id: id, now: 0))?.recalled ?? false
    }

    @Test func nothingAcknowledgedIsMissingAfter500Crashes() async throws {
        let tally = try await self.run(crashes: 500, durability: .full, seed: 1)
        #expect(tally.crashes == 500)
        #expect(tally.acknowledged > 1_000, "the test published too little to mean anything")
        #expect(tally.writesTakenBack > 500, "the crashes took too little back to mean anything")
        #expect(tally.broken == 0)
        print("crashes, full:", tally)
    }

    /// The canary: the same check must notice a store that does not sync.
    @Test func withoutSyncingSomeAreMissing() async throws {
        let tally = try await self.run(crashes: 30, durability: .memory, seed: 2)
        #expect(tally.broken > 0)
        print("crashes, memory:", tally)
    }
}

/// SplitMix64.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
