import CLossyVFS
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Testing

/// Crashes that take back what was not synced, while topics are written, trimmed, read and taken back.
@Suite struct TopicCrashTests {
    /// What one publisher, the only one of its topic, was told.
    struct Told {
        var stored: [MessageID] = []
        var recalled: Set<MessageID> = []
        /// Recalls that were not answered may or may not hold.
        var doubtful: Set<MessageID> = []
        /// The newest value that was set and acknowledged, and those that were set later.
        var retained: MessageID?
        /// What a reading told to be gone.
        var gone: UInt64 = 0
    }

    struct Tally {
        var crashes = 0
        var acknowledged = 0
        var broken: [String] = []
        var writesTakenBack: Int64 = 0
    }

    static let keep = TopicAppend.Keep(messages: 12, seconds: 600, bytes: 1 << 20)

    private func open(_ folder: TemporaryFolder, _ clock: ContractClock, _ durability: Durability) throws -> SQLiteStore {
        try openStore(folder, clock: clock, durability: durability) {
            $0.fileSystem = "lossy"
            $0.unindexedEntries = 20
            $0.checkpointBytes = 100_000
            $0.flushMs = 5
        }
    }

    /// - Parameter calls: the crash comes at the latest at this many writes and syncs of a store.
    func run(crashes: Int, durability: Durability, seed: UInt64, calls: UInt64 = 800) async throws -> Tally {
        lossy_vfs_register()
        var random = SeededRandom(seed)
        var tally = Tally()
        var folder = TemporaryFolder()
        let clock = ContractClock()
        for crash in 0..<crashes {
            if crash % 50 == 0 { folder = TemporaryFolder() }
            let store: SQLiteStore
            do {
                store = try self.open(folder, clock, durability)
            } catch {
                tally.broken.append("crash \(crash): does not open: \(error)")
                folder = TemporaryFolder()
                continue
            }
            store.observe { _ in }
            lossy_vfs_crash_at(folder.path, Int64(1 + random.next() % calls))
            let seed = random.next()
            let answers = await withTaskGroup(of: (String, Told).self) { group in
                for publisher in 0..<4 {
                    group.addTask { await self.publish(to: store, "c\(crash)/\(publisher)", seed &+ UInt64(publisher), clock.now) }
                }
                return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            store.abandon()
            tally.writesTakenBack += lossy_vfs_restore(folder.path, random.next() % 2 == 0 ? 0 : random.next())
            tally.crashes += 1
            for (topic, told) in answers {
                tally.acknowledged += told.stored.count
                // A file that cannot be read has lost everything.
                do {
                    tally.broken += try await self.check(folder, clock, durability, topic, told)
                } catch {
                    tally.broken.append("crash \(crash): cannot be read: \(error)")
                }
            }
        }
        return tally
    }

    private func publish(to store: SQLiteStore, _ topic: String, _ seed: UInt64, _ now: Int64) async -> (String, Told) {
        var random = SeededRandom(seed)
        var told = Told()
        for number in 0..<20_000 {
            let isRetained = number % 4 == 1
            let requests = (0...(isRetained ? 0 : random.next() % 3)).map {
                topicRequest("\(number)-\($0)", to: topic, retain: isRetained ? .set : .leave, keep: Self.keep)
            }
            if isRetained { told.retained = nil }
            var failed = false
            for outcome in await store.append(requests) {
                guard case .stored(let id, _) = outcome else {
                    failed = true
                    continue
                }
                told.stored.append(id)
                if isRetained { told.retained = id }
            }
            if failed { break }
            if number % 7 == 3, let id = told.stored.suffix(6).randomElement(using: &random) {
                let outcome = try? await store.recall(id, app: .dev)
                if outcome == .some(.recalled) { told.recalled.insert(id) } else { told.doubtful.insert(id) }
                if id == told.retained { told.retained = nil }
            }
            if number % 5 == 2, let slice = try? await history(store, topic, .after(0), now: now) {
                told.gone = max(told.gone, slice.gaps.first?.to ?? 0)
            }
        }
        return (topic, told)
    }

    private func check(
        _ folder: TemporaryFolder, _ clock: ContractClock, _ durability: Durability, _ topic: String, _ told: Told
    ) async throws -> [String] {
        guard !told.stored.isEmpty else { return [] }
        let store: SQLiteStore
        do { store = try self.open(folder, clock, durability) } catch { return ["\(topic): does not open: \(error)"] }
        store.observe { _ in }
        defer { store.abandon() }
        var broken: [String] = []
        let slice = try await history(store, topic, .after(0), now: clock.now)
        let found = slice.entries.map(\.message.id)
        let gone = slice.gaps.first?.to ?? 0
        if slice.entries.count > Self.keep.messages { broken.append("\(topic): keeps \(slice.entries.count)") }
        if zip(found, found.dropFirst()).contains(where: { $0 >= $1 }) { broken.append("\(topic): out of order") }
        if gone < told.gone { broken.append("\(topic): a gap shrank from \(told.gone) to \(gone)") }
        if let first = slice.entries.first?.message.offset, gone >= first { broken.append("\(topic): a gap holds what is kept") }
        let kept = Set(found)
        let before = found.first
        for id in told.stored {
            let mayBeRecalled = told.recalled.contains(id) || told.doubtful.contains(id)
            if told.recalled.contains(id), kept.contains(id) { broken.append("\(topic): \(id) is back") }
            guard !mayBeRecalled, !kept.contains(id) else { continue }
            // It went for the limit, which is told by the gap.
            if gone == 0 { broken.append("\(topic): \(id) is missing without a gap") }
            if let before, id > before { broken.append("\(topic): \(id) is missing among what is kept") }
            if before == nil { broken.append("\(topic): all are missing") }
        }
        if let retained = told.retained {
            let value = try await store.retained(TopicFilter(topic: topic), app: .dev, limit: 1, now: clock.now)
            let isThere = value.first.map { $0.message.id >= retained } ?? false
            if !isThere, !told.doubtful.contains(retained) { broken.append("\(topic): the retained value is missing") }
        }
        return broken
    }

    @Test func nothingAcknowledgedIsMissingAfter300Crashes() async throws {
        let tally = try await self.run(crashes: 300, durability: .full, seed: 3)
        #expect(tally.crashes == 300)
        #expect(tally.acknowledged > 1_000, "the test published too little to mean anything")
        #expect(tally.writesTakenBack > 300, "the crashes took too little back to mean anything")
        #expect(tally.broken == [])
        print("topic crashes, full:", tally)
    }

    /// The canary: the same check must notice a store that does not sync.
    @Test func withoutSyncingSomeAreMissing() async throws {
        let tally = try await self.run(crashes: 30, durability: .memory, seed: 4)
        #expect(!tally.broken.isEmpty)
        print("topic crashes, memory:", tally.crashes, tally.acknowledged, tally.broken.count)
    }
}
