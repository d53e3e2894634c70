import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// Topics on the SQLite store: kills, many topics, readings beside publishing.
@Suite struct TopicTests {
    let folder = TemporaryFolder()
    let clock = ContractClock()

    /// What can be told apart of a slice.
    private static func told(_ slice: TopicSlice) -> [String] {
        slice.entries.map { "\($0.topic) \($0.message.offset)" } + slice.gaps.map { "\($0)" }.sorted() + ["\(slice.more) \(slice.position)"]
    }

    private func everything(_ store: SQLiteStore) async throws -> [String] {
        var told: [String] = []
        for filter in ["t/0", "t/1", "t/2", "t/3", "t/+", "#"] {
            for start in [TopicStart.earliest, .after(0), .after(store.end / 2), .last(5)] {
                told += Self.told(try await history(store, filter, start, now: self.clock.now))
            }
        }
        let retained = try await store.retained(
            try TopicFilter(parsing: "#", limits: Limits()), app: .dev, limit: 100, now: self.clock.now)
        return told + retained.map { "\($0.topic) \($0.message.offset)" }
    }

    /// A killed process leaves its files as they are, whatever of the index and of the deletions was done.
    @Test(arguments: [0, 7, 40, 50_000]) func aKillLosesNothingAndBringsNothingBack(unindexed: Int) async throws {
        var random = SeededRandom(UInt64(unindexed) + 1)
        let store = try openStore(self.folder, clock: self.clock) { $0.unindexedEntries = unindexed }
        store.observe { _ in }
        var ids: [MessageID] = []
        for round in 0..<60 {
            let requests = (0...random.next() % 9).map { number -> AppendRequest in
                let retain: TopicAppend.Retain = [.leave, .leave, .set, .clear][Int(random.next() % 4)]
                let keep = TopicAppend.Keep(
                    messages: [3, 8, 20, 0][Int(random.next() % 4)], seconds: [5, 60][Int(random.next() % 2)], bytes: 1 << 20)
                return topicRequest(
                    "\(round)-\(number)", to: "t/\(random.next() % 4)", ttl: [0, 3, 30, 300][Int(random.next() % 4)], retain: retain,
                    keep: keep)
            }
            for case .stored(let id, _) in await store.append(requests) { ids.append(id) }
            if random.next() % 3 == 0, let id = ids.randomElement(using: &random) { _ = try await store.recall(id, app: .dev) }
            if random.next() % 4 == 0 { self.clock.advance(milliseconds: Int64(random.next() % 4_000)) }
            if random.next() % 5 == 0 { #expect(await settle(store) == nil) }
            guard round % 3 == 2 else { continue }
            let before = try await self.everything(store)
            let copy = try self.folder.copy()
            let killed = try openStore(copy, clock: self.clock) { $0.unindexedEntries = unindexed }
            killed.observe { _ in }
            #expect(try await self.everything(killed) == before, "round \(round)")
            for _ in 0..<3 { #expect(await settle(killed) == nil) }
            #expect(try await self.everything(killed) == before, "round \(round), when all is indexed")
            #expect(await killed.stop() == nil)
            // The folder goes with its last use.
            #expect(copy.size(of: "") > 0)
        }
        #expect(await store.stop() == nil)
    }

    /// A reader follows while topics are written and trimmed: each message is read, or lies in a gap, and never both.
    @Test(arguments: [("t/0", 3), ("t/+", 3), ("t/+", 100)]) func nothingIsMissedWhileTopicsAreTrimmed(filter: String, topics: Int) async throws {
        let store = try openStore(self.folder, clock: self.clock) {
            $0.unindexedEntries = 200
            $0.checkpointBytes = 200_000
        }
        let published = Published()
        store.observe { commits in
            for case .published(let message, let topic) in commits { published.add(message.offset, to: topic.name) }
        }
        let total = 12_000
        async let writing: Void = self.write(total, to: topics, in: store)
        async let one = self.follow(filter, in: store, messages: 15, until: total, published)
        async let two = self.follow(filter, in: store, messages: 30, until: total, published)
        async let three = self.follow(filter, in: store, messages: 45, until: total, published)
        await writing
        var gaps = 0
        for (seen, gone) in try await [one, two, three] {
            for (topic, offsets) in published.all where filter == "t/+" || topic == filter {
                let read = seen[topic] ?? []
                #expect(zip(read, read.dropFirst()).allSatisfy { $0 < $1 }, "in order, each once")
                let known = Set(read)
                gaps += gone[topic]?.count ?? 0
                for offset in offsets where !known.contains(offset) {
                    #expect(gone[topic]?.contains { $0.contains(offset) } == true, "\(topic) \(offset) is missing without a word")
                }
            }
        }
        print("topics:", filter, topics, "gaps:", gaps)
        #expect(await store.stop() == nil)
    }

    private final class Published: Sendable {
        private let offsets = Mutex<[String: [UInt64]]>([:])

        func add(_ offset: UInt64, to topic: String) { self.offsets.withLock { $0[topic, default: []].append(offset) } }
        var all: [String: [UInt64]] { self.offsets.withLock { $0 } }
        var count: Int { self.offsets.withLock { $0.values.reduce(0) { $0 + $1.count } } }
    }

    private func write(_ total: Int, to topics: Int, in store: SQLiteStore) async {
        let keep = TopicAppend.Keep(messages: 20, seconds: 600, bytes: 1 << 20)
        for start in stride(from: 0, to: total, by: 40) {
            _ = await store.append((start..<start + 40).map { topicRequest("\($0)", to: "t/\($0 % topics)", keep: keep) })
        }
    }

    private func follow(
        _ filter: String, in store: SQLiteStore, messages: Int, until total: Int, _ published: Published
    ) async throws -> (seen: [String: [UInt64]], gone: [String: [ClosedRange<UInt64>]]) {
        var seen: [String: [UInt64]] = [:]
        var gone: [String: [ClosedRange<UInt64>]] = [:]
        var position: UInt64 = 0
        var isLast = false
        while true {
            let slice = try await history(store, filter, .after(position), messages: messages, now: 1_000_000)
            for gap in slice.gaps {
                guard let from = gap.from, let to = gap.to else { continue }
                gone[gap.topic, default: []].append(from + 1...to)
            }
            for entry in slice.entries { seen[entry.topic, default: []].append(entry.message.offset) }
            #expect(slice.position >= position)
            position = slice.position
            if slice.more { continue }
            if isLast { return (seen, gone) }
            isLast = published.count == total
        }
    }

    /// A reading by a wildcard looks at a bounded part, whatever there is besides, and gets to the end.
    @Test func readingsByAWildcardAreBoundedAmongManyTopics() async throws {
        let store = try openStore(self.folder, clock: self.clock, durability: .memory)
        store.observe { _ in }
        let topics = 30_000
        for start in stride(from: 0, to: topics, by: 1_000) {
            _ = await store.append((start..<start + 1_000).map { topicRequest("\($0)", to: "room/\($0)/\($0 % 1_000 == 0 ? "rare" : "many")") })
        }
        for _ in 0..<3 { #expect(await settle(store) == nil) }
        for (filter, expected) in [("room/+/rare", 30), ("room/77/+", 1), ("room/#", topics)] {
            var position: UInt64 = 0
            var found = 0
            var readings = 0
            var slowest = Duration.zero
            while true {
                let start = ContinuousClock.now
                let slice = try await history(store, filter, .after(position), messages: 100, now: self.clock.now)
                slowest = max(slowest, .now - start)
                readings += 1
                found += slice.entries.count
                position = slice.position
                if !slice.more { break }
            }
            #expect(found == expected, "\(filter)")
            #expect(readings <= expected / 100 + topics / 5_000 + 2, "\(filter): \(readings) readings")
            print("topics: \(filter): \(readings) readings, the slowest \(slowest)")
        }
        let last = try await history(store, "room/+/rare", .last(3), now: self.clock.now)
        #expect(last.entries.count <= 3)
        #expect(try await history(store, "room/+/many", .last(3), now: self.clock.now).entries.map(\.topic).last == "room/29999/many")
        #expect(await store.stop() == nil)
    }

    /// More losses than are worth naming are told as one gap of the filter.
    @Test(arguments: [false, true]) func thousandsOfGapsAreToldAsOne(isIndexed: Bool) async throws {
        let store = try openStore(self.folder, clock: self.clock, durability: .memory)
        store.observe { _ in }
        let keep = TopicAppend.Keep(messages: 1, seconds: 600, bytes: 1 << 20)
        for _ in 0..<2 { _ = await store.append((0..<1_500).map { topicRequest("\($0)", to: "room/\($0)", keep: keep) }) }
        if isIndexed { for _ in 0..<3 { #expect(await settle(store) == nil) } }
        let slice = try await history(store, "room/+", .after(1), messages: 10, now: self.clock.now)
        #expect(slice.gaps == [TopicGap(topic: "room/+", reason: .trimmed, from: 1, to: 1_500)])
        let few = try await history(store, "room/+", .after(1_490), messages: 10, now: self.clock.now)
        #expect(few.gaps.map(\.topic) == (1_490..<1_500).map { "room/\($0)" })
        #expect(await store.stop() == nil)
    }

    /// A backup, also one of a store in use, holds what topics keep, and says of a new history that it is one.
    @Test func aBackupHoldsTopics() async throws {
        let store = try openStore(self.folder, clock: self.clock) { $0.unindexedEntries = 30 }
        store.observe { _ in }
        let keep = TopicAppend.Keep(messages: 8, seconds: 600, bytes: 1 << 20)
        for number in 0..<60 { _ = await store.append([topicRequest("\(number)", to: "t/\(number % 4)", retain: .set, keep: keep)]) }
        let before = try await self.everything(store)
        let place = TemporaryFolder()
        let backup = try StoreBackup(folder: self.folder.path, target: place.path + "/b").run(wallMs: self.clock.wall) { _ in true }
        let restored = TemporaryFolder()
        _ = try StoreRestore(file: backup.file, folder: restored.path).run(wallMs: self.clock.wall) { _ in true }
        let found = StoreInspection(folder: restored.path, isInUse: false, check: .full, limits: Limits()) { _ in true }
        #expect(found.damage == [])
        #expect(found.topics == 4)
        let again = try openStore(restored, clock: self.clock)
        again.observe { _ in }
        #expect(again.epoch != store.epoch)
        #expect(try await self.everything(again) == before)
        #expect(await again.stop() == nil)
        #expect(await store.stop() == nil)
    }
}
