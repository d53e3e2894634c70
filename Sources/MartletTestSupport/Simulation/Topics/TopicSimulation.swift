/// Runs random histories of topics, each from a seed, and says which promise was broken.
package enum TopicSimulation {
    /// Plays one history.
    ///
    /// - Parameters:
    ///   - canary: which rule to break; nil for none.
    ///   - steps: how many steps to take before the quiet.
    ///   - isRecording: whether to write down what happens.
    package static func run(
        seed: UInt64, canary: TopicCanary? = nil, steps: Int = Simulation.steps, isRecording: Bool = false
    ) -> Simulation.Outcome {
        let world = TopicWorld(seed: seed, canary: canary, isRecording: isRecording)
        for _ in 0..<steps {
            world.step()
            if canary == nil, !world.oracle.violations.isEmpty { break }
        }
        if canary != nil || world.oracle.violations.isEmpty { world.quiet() }
        return Simulation.Outcome(seed: seed, violations: world.oracle.violations, log: world.log)
    }

    /// Finds the shortest beginning of a failing history that still breaks the same promise, and tells it.
    ///
    /// - Returns: nil if the history does not fail.
    package static func report(seed: UInt64, canary: TopicCanary? = nil) -> String? {
        guard let violation = self.run(seed: seed, canary: canary).violations.first else { return nil }
        var shortest = Simulation.steps
        for steps in 1..<Simulation.steps
        where self.run(seed: seed, canary: canary, steps: steps).violations.contains(where: { $0.promise == violation.promise }) {
            shortest = steps
            break
        }
        let outcome = self.run(seed: seed, canary: canary, steps: shortest, isRecording: true)
        let found = outcome.violations.first { $0.promise == violation.promise } ?? violation
        return """
            \(outcome.log.joined(separator: "\n"))
            topics, seed \(seed), \(shortest) steps: \(found)
            replay: SIM_SEED=\(seed) scripts/simulate
            """
    }
}
