import MartletTestSupport
import Testing

@Suite struct SimulationTests {
    @Test func promisesHoldInRandomHistories() async { await check(Simulation.inboxes) }

    @Test func aSeedGivesTheSameHistory() { checkSeeds(Simulation.inboxes) }

    @Test(arguments: Canary.allCases) func aBrokenRuleIsCaughtByItsOwnCheck(_ canary: Canary) { check(canary, Simulation.inboxes) }
}

/// Environment: `SIM_SEEDS` says how many (2,000 unless told), `SIM_SEED` replays one.
func check<Rule>(_ simulation: Simulation<Rule>) async {
    if let seed = Setting.number("SIM_SEED") {
        let report = simulation.report(seed: UInt64(seed))
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
                    if !simulation.run(seed: UInt64(seed)).violations.isEmpty { failing.append(UInt64(seed)) }
                }
                return failing
            }
        }
        return await group.reduce(into: []) { $0 += $1 }
    }
    print("simulation of \(simulation.name): \(count) seeds in \(ContinuousClock.now - start)")
    for seed in failing.sorted().prefix(3) {
        Issue.record("\(simulation.report(seed: seed) ?? "seed \(seed) failed once and not again")")
    }
}

func checkSeeds<Rule>(_ simulation: Simulation<Rule>) {
    for seed in 0..<20 as Range<UInt64> {
        let first = simulation.run(seed: seed, isRecording: true)
        let second = simulation.run(seed: seed, isRecording: true)
        #expect(first.log == second.log)
        #expect(first.log.count > 50 || !first.violations.isEmpty)
    }
}

func check<Rule: BrokenRule>(_ canary: Rule, _ simulation: Simulation<Rule>) {
    let seed = (0..<300 as Range<UInt64>).first { seed in
        simulation.run(seed: seed, canary: canary).violations.contains { $0.promise == canary.promise }
    }
    #expect(seed != nil, "no seed up to 300 shows that \(canary) breaks promise \(canary.promise.rawValue)")
    print("canary \(canary) (promise \(canary.promise.rawValue)) caught by seed \(seed.map(String.init) ?? "none")")
}
