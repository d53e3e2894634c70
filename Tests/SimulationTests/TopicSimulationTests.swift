import MartletTestSupport
import Testing

@Suite struct TopicSimulationTests {
    /// Environment: as for ``SimulationTests``.
    @Test func promisesHoldInRandomHistoriesOfTopics() async {
        if let seed = Setting.number("SIM_SEED") {
            let report = TopicSimulation.report(seed: UInt64(seed))
            #expect(report == nil, "\(report ?? "")")
            return
        }
        let count = Setting.number("SIM_SEEDS") ?? 2_000
        let lanes = 4
        let start = ContinuousClock.now
        let failing = await withTaskGroup(of: [UInt64].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var failing: [UInt64] = []
                    for seed in stride(from: lane, to: count, by: lanes) where failing.count < 3 {
                        if !TopicSimulation.run(seed: UInt64(seed)).violations.isEmpty { failing.append(UInt64(seed)) }
                    }
                    return failing
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        let took = ContinuousClock.now - start
        print("simulation of topics: \(count) seeds in \(took)")
        for seed in failing.sorted().prefix(3) {
            Issue.record("\(TopicSimulation.report(seed: seed) ?? "seed \(seed) failed once and not again")")
        }
    }

    @Test func aSeedGivesTheSameHistory() {
        for seed in 0..<20 as Range<UInt64> {
            let first = TopicSimulation.run(seed: seed, isRecording: true)
            let second = TopicSimulation.run(seed: seed, isRecording: true)
            #expect(first.log == second.log)
            #expect(first.log.count > 50 || !first.violations.isEmpty)
        }
    }

    @Test(arguments: TopicCanary.allCases) func aBrokenRuleIsCaughtByItsOwnCheck(_ canary: TopicCanary) {
        let seed = (0..<300 as Range<UInt64>).first { seed in
            TopicSimulation.run(seed: seed, canary: canary).violations.contains { $0.promise == canary.promise }
        }
        #expect(seed != nil, "no seed up to 300 shows that \(canary) breaks promise \(canary.promise.rawValue)")
        print("canary \(canary) (promise \(canary.promise.rawValue)) caught by seed \(seed.map(String.init) ?? "none")")
    }
}
