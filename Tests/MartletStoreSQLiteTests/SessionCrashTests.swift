import CLossyVFS
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// Crashes that take back what was not synced, while records of sessions are saved, by themselves and with messages.
@Suite struct SessionCrashTests {
    private func open(_ folder: TemporaryFolder, _ clock: ContractClock, _ durability: Durability) throws -> SQLiteStore {
        try openStore(folder, clock: clock, durability: durability) {
            $0.fileSystem = "lossy"
            $0.unindexedEntries = 10
            $0.groupRows = 6
            $0.checkpointBytes = 40_000
            $0.flushMs = 5
        }
    }

    struct Told {
        /// Rounds whose messages were acknowledged, and whose saves were.
        var messages: [Int] = []
        var saves: [Int] = []
        /// Whether the crash came during the rounds.
        var crashed = false
    }

    private static let rounds = 12

    /// Each round asks for a message with a record of its own, a change of one that all rounds share, and two changes that
    /// belong together; three rounds wait at a time.
    private func write(to store: SQLiteStore) async -> Told {
        var told = Told()
        for start in stride(from: 0, to: Self.rounds, by: 3) {
            await withTaskGroup(of: (round: Int, isStored: Bool, isSaved: Bool).self) { group in
                for round in start..<start + 3 {
                    group.addTask {
                        var message = topicRequest("\(round)", to: "t")
                        message.save = Self.saving("m\(round)", round)
                        var other = topicRequest("\(round)", to: "u")
                        other.save = Self.saving("shared", round)
                        let outcomes = await store.append([message, other])
                        let error = await store.save([Self.saving("a\(round)", round), Self.saving("b\(round)", round)])
                        store.trim(TopicKey(app: .dev, name: "u"), upTo: .max)
                        return (round, outcomes.allSatisfy { if case .stored = $0 { true } else { false } }, error == nil)
                    }
                }
                for await (round, isStored, isSaved) in group {
                    if isStored { told.messages.append(round) }
                    if isSaved { told.saves.append(round) }
                    if !isStored || !isSaved { told.crashed = true }
                }
            }
        }
        return told
    }

    private static func saving(_ name: String, _ round: Int) -> SessionSave {
        SessionSave(key: DeviceKey(app: .dev, name: name), change: .set(settings: nil, state: [UInt8](repeating: UInt8(round), count: 200)))
    }

    /// What is wrong after a crash.
    private func check(_ store: SQLiteStore, _ told: Told, now: Int64) async throws -> [String] {
        var broken: [String] = []
        var states: [String: Int] = [:]
        for row in try await store.loadSessions() {
            if row.state.count != 200 || Set(row.state).count != 1 { broken.append("\(row.key.name) is torn") }
            states[row.key.name] = Int(row.state.first ?? 255)
        }
        let messages = Set(try await history(store, "t", .earliest, now: now).entries.compactMap { Int(Self.text($0.message)) })
        for round in 0..<Self.rounds {
            if messages.contains(round) != (states["m\(round)"] == round) { broken.append("round \(round): message and record differ") }
            if (states["a\(round)"] == nil) != (states["b\(round)"] == nil) { broken.append("round \(round): half of a call") }
        }
        for round in told.messages where !messages.contains(round) { broken.append("round \(round): the message is missing") }
        for round in told.saves where states["a\(round)"] == nil { broken.append("round \(round): the record is missing") }
        if try await history(store, "u", .after(0), now: now).gaps != [] { broken.append("a trim is told as a loss") }
        if !told.messages.isEmpty, states["shared"] == nil { broken.append("the shared record is missing") }
        return broken
    }

    /// The data of a message, which is all digits.
    private static func text(_ message: StoredMessage) -> String {
        String(String(decoding: message.fragment, as: UTF8.self).dropLast().reversed().prefix { $0.isNumber }.reversed())
    }

    /// Crashes at every write and sync in turn, until a run ends without one.
    private func run(_ durability: Durability, keepsSome: Bool) async throws -> (crashes: Int, broken: [String], takenBack: Int64) {
        lossy_vfs_register()
        let clock = ContractClock()
        var result = (crashes: 0, broken: [String](), takenBack: Int64(0))
        for call in 1...2_000 {
            let folder = TemporaryFolder()
            let store = try self.open(folder, clock, durability)
            store.observe { _ in }
            lossy_vfs_crash_at(folder.path, Int64(call))
            let told = await self.write(to: store)
            store.abandon()
            result.takenBack += lossy_vfs_restore(folder.path, keepsSome ? UInt64(call) : 0)
            do {
                let again = try self.open(folder, clock, durability)
                again.observe { _ in }
                result.broken += try await self.check(again, told, now: clock.now).map { "call \(call): \($0)" }
                again.abandon()
            } catch {
                result.broken.append("call \(call): \(error)")
            }
            guard told.crashed else { return result }
            result.crashes += 1
        }
        return result
    }

    @Test(arguments: [false, true]) func aMessageAndItsRecordSurviveTogetherOrNotAtAll(keepsSome: Bool) async throws {
        let result = try await self.run(.full, keepsSome: keepsSome)
        #expect(result.crashes > 50, "the test wrote too little to mean anything: \(result.crashes)")
        #expect(result.takenBack > 0)
        #expect(result.broken == [])
        print("session crashes, full:", result.crashes, result.takenBack)
    }

    /// The canary: the same check must notice a store that does not sync.
    @Test func withoutSyncingSomeAreMissing() async throws {
        let result = try await self.run(.memory, keepsSome: false)
        #expect(!result.broken.isEmpty)
    }
}
