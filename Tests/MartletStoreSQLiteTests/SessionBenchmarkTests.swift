import Foundation
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import Synchronization
import Testing

/// Figures of records of sessions beside messages, printed with `MARTLET_BENCH=1`.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["MARTLET_BENCH"] == "1"))
struct SessionBenchmarkTests {
    /// Messages of topics, with and without 10,000 states of 200 bytes that are saved each second, in turns.
    @Test(arguments: [(1_000, 100), (10_000, 100), (50_000, 100), (10_000, 1)]) func savesBesideTopics(sessions: Int, perCall: Int) async throws {
        let state = [UInt8](repeating: 1, count: 200)
        let keep = TopicAppend.Keep(messages: 100, seconds: 86_400, bytes: 1 << 20)
        let bench = BenchmarkTests()
        for round in 0..<6 {
            let folder = TemporaryFolder()
            let store = try bench.fresh(folder, .full)
            for start in stride(from: 0, to: sessions, by: 1_000) {
                #expect(await store.save((start..<start + 1_000).map { Self.saving($0, [UInt8](repeating: 2, count: 100), state) }) == nil)
            }
            let end = ContinuousClock.now + .seconds(4)
            let isSaving = round % 2 == 1
            async let saved = isSaving ? Self.save(to: store, sessions, perCall, state, until: end) : (0, .zero)
            await bench.measure(
                "4 callers, 1,000 messages each, to 1,000 topics\(isSaving ? ", 10,000 saves/s to \(sessions), \(perCall) a call" : "")"
            ) {
                await withTaskGroup(of: Int.self) { group in
                    for caller in 0..<4 {
                        group.addTask {
                            var rows = 0
                            while ContinuousClock.now < end {
                                let requests = (0..<1_000).map { number in
                                    AppendRequest(
                                        app: .dev, targets: [],
                                        topic: TopicAppend(name: "u\((caller * 157 + (rows + number) * 7_919) % 1_000)", keep: keep),
                                        members: BenchmarkTests.members)
                                }
                                for case .stored in await store.append(requests) { rows += 1 }
                            }
                            return rows
                        }
                    }
                    return await group.reduce(0, +)
                }
            }
            let (count, slowest) = await saved
            if isSaving { print("bench: \(count / 4) saves/s, the slowest took \(slowest)") }
            #expect(await store.stop() == nil)
        }
    }

    private static func saving(_ number: Int, _ settings: [UInt8]?, _ state: [UInt8]) -> SessionSave {
        SessionSave(key: DeviceKey(app: .dev, name: "client-\(number)"), change: .set(settings: settings, state: state))
    }

    private final class Answers: Sendable {
        let state = Mutex((count: 0, slowest: Duration.zero))
    }

    /// Saves 100 states each 10 ms, without waiting for answers.
    private static func save(
        to store: SQLiteStore, _ sessions: Int, _ perCall: Int, _ state: [UInt8], until end: ContinuousClock.Instant
    ) async -> (Int, Duration) {
        var next = ContinuousClock.now
        var count = 0
        let answers = Answers()
        while ContinuousClock.now < end {
            for _ in stride(from: 0, to: 100, by: perCall) {
                let start = ContinuousClock.now
                store.save((count..<count + perCall).map { Self.saving($0 * 7_919 % sessions, nil, state) }) { error in
                    answers.state.withLock {
                        if error == nil { $0.count += perCall }
                        $0.slowest = max($0.slowest, .now - start)
                    }
                }
                count += perCall
            }
            next += .milliseconds(10)
            try? await Task.sleep(until: next)
        }
        _ = await store.save([])
        return answers.state.withLock { $0 }
    }
}
