import Foundation
import GRDBSQLite
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire
import Synchronization
import Testing

/// Figures for `docs`, printed with `MARTLET_BENCH=1`. Nothing is asserted: machines differ.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["MARTLET_BENCH"] == "1"))
struct BenchmarkTests {
    static let members = Array(("\"type\":\"t\",\"data\":\"" + String(repeating: "x", count: 280) + "\"").utf8)

    static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    func measure(_ name: String, _ body: () async throws -> Int) async rethrows {
        let cpu = Self.cpuSeconds()
        let clock = ContinuousClock()
        var rows = 0
        let elapsed = try await clock.measure { rows = try await body() }
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        let used = Self.cpuSeconds() - cpu
        print(
            "bench: \(name): \(Int(Double(rows) / seconds)) rows/s, \(Int(used * 1e6 / Double(max(1, rows)))) µs CPU a row, \(rows) rows"
        )
    }

    /// SQLite alone: one row of 300 bytes a commit.
    @Test func singleCommits() async throws {
        let folder = TemporaryFolder()
        var db: OpaquePointer?
        try #require(sqlite3_open(folder.database, &db) == SQLITE_OK)
        defer { sqlite3_close(db) }
        let setup =
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)"
        try #require(sqlite3_exec(db, setup, nil, nil, nil) == SQLITE_OK)
        await self.measure("SQLite alone, one row a commit, full") {
            var rows = 0
            let end = ContinuousClock.now + .seconds(3)
            while ContinuousClock.now < end {
                sqlite3_exec(db, "INSERT INTO t (b) VALUES (zeroblob(300))", nil, nil, nil)
                rows += 1
            }
            return rows
        }
    }

    func fresh(_ folder: TemporaryFolder, _ durability: Durability) throws -> SQLiteStore {
        let store = try openStore(folder, clock: ContractClock(), durability: durability) { $0.flushMs = 250 }
        store.observe { _ in }
        return store
    }

    /// Publishers that each wait for their answer, as HTTP requests do, to 10,000 users.
    @Test(arguments: [Durability.full, .normal]) func singles(durability: Durability) async throws {
        let folder = TemporaryFolder()
        let store = try self.fresh(folder, durability)
        await self.measure("64 callers, one message each, \(durability)") {
            let end = ContinuousClock.now + .seconds(5)
            return await withTaskGroup(of: Int.self) { group in
                for caller in 0..<64 {
                    group.addTask {
                        var rows = 0
                        while ContinuousClock.now < end {
                            let request = AppendRequest(
                                app: .dev, targets: [.user("u\((caller * 157 + rows * 7_919) % 10_000)", in: .dev)],
                                members: Self.members)
                            if case .stored? = await store.append([request]).first { rows += 1 }
                        }
                        return rows
                    }
                }
                return await group.reduce(0, +)
            }
        }
        #expect(await store.stop() == nil)
    }

    @Test(arguments: [Durability.full, .normal], [100, 10_000]) func batches(
        durability: Durability, users: Int
    ) async throws {
        let folder = TemporaryFolder()
        let store = try self.fresh(folder, durability)
        await self.measure("4 callers, 1,000 messages each, to \(users) users, \(durability)") {
            let end = ContinuousClock.now + .seconds(5)
            return await withTaskGroup(of: Int.self) { group in
                for caller in 0..<4 {
                    group.addTask {
                        var rows = 0
                        while ContinuousClock.now < end {
                            let requests = (0..<1_000).map {
                                AppendRequest(
                                    app: .dev,
                                    targets: [.user("u\((caller * 157 + (rows + $0) * 7_919) % users)", in: .dev)],
                                    members: Self.members)
                            }
                            for case .stored in await store.append(requests) { rows += 1 }
                        }
                        return rows
                    }
                }
                return await group.reduce(0, +)
            }
        }
        print("bench: log \(folder.size(of: "-wal") >> 20) MiB, file \(folder.size(of: "") >> 20) MiB")
        #expect(await store.stop() == nil)
    }

    /// Durable topics beside inboxes, in turns: what a topic costs more is its state and the deletion of what it keeps no longer.
    @Test(arguments: [(1, 100), (10_000, 100), (1_000, 10)]) func topicsBesideInboxes(names: Int, messages: Int) async throws {
        let keep = TopicAppend.Keep(messages: messages, seconds: 86_400, bytes: 1 << 20)
        for round in 0..<6 {
            let isTopic = round % 2 == 1
            let folder = TemporaryFolder()
            let store = try self.fresh(folder, .full)
            await self.measure("4 callers, 1,000 messages each, to \(names) \(isTopic ? "topics of \(messages)" : "inboxes")") {
                let end = ContinuousClock.now + .seconds(4)
                return await withTaskGroup(of: Int.self) { group in
                    for caller in 0..<4 {
                        group.addTask {
                            var rows = 0
                            while ContinuousClock.now < end {
                                let requests = (0..<1_000).map { number -> AppendRequest in
                                    let name = "u\((caller * 157 + (rows + number) * 7_919) % names)"
                                    return AppendRequest(
                                        app: .dev, targets: isTopic ? [] : [.user(name, in: .dev)],
                                        topic: isTopic ? TopicAppend(name: name, keep: keep) : nil, members: Self.members)
                                }
                                for case .stored in await store.append(requests) { rows += 1 }
                            }
                            return rows
                        }
                    }
                    return await group.reduce(0, +)
                }
            }
            print("bench: log \(folder.size(of: "-wal") >> 20) MiB, file \(folder.size(of: "") >> 20) MiB")
            #expect(await store.stop() == nil)
        }
    }

    @Test func readings() async throws {
        let folder = TemporaryFolder()
        let store = try self.fresh(folder, .normal)
        for batch in 0..<50 {
            _ = await store.append((0..<1_000).map { request("\($0)", to: "u\((batch * 1_000 + $0) % 5_000)") })
        }
        for (name, indexed) in [("from memory", false), ("from the index", true)] {
            if indexed {
                // Each writes a part of the index.
                for _ in 0..<3 { #expect(await settle(store) == nil) }
            }
            await self.measure("readings of 10 messages, \(name)") {
                await withTaskGroup(of: Int.self) { group in
                    for caller in 0..<8 {
                        group.addTask {
                            var rows = 0
                            for number in 0..<2_000 {
                                let user = "u\((caller * 631 + number) % 5_000)"
                                let result = try? await store.read(
                                    ReadRequest(
                                        app: .dev, user: user, device: "d", after: Positions(), messages: 10,
                                        mediumAndLow: 10,
                                        low: 10, bytes: 1 << 20, mediumAndLowBytes: 1 << 20, lowBytes: 1 << 20,
                                        oversizeFirst: true, now: 1_000_000))
                                if result?.entries.count == 10 {
                                    rows += 1
                                } else {
                                    Issue.record("a reading found \(result?.entries.count ?? -1)")
                                }
                            }
                            return rows
                        }
                    }
                    return await group.reduce(0, +)
                }
            }
        }
        #expect(await store.stop() == nil)
    }
}
