/// Runs random histories, each from a seed, and says which promise was broken.
package enum Simulation {
    /// How a history ended.
    package struct Outcome: Sendable {
        package var seed: UInt64
        /// The first violation of each promise, in the order of their discovery.
        package var violations: [Violation]
        /// What happened, if it was asked for.
        package var log: [String]
    }

    /// Steps of a history, before the quiet at its end.
    package static let steps = 400

    /// Plays one history.
    ///
    /// - Parameters:
    ///   - canary: which rule to break; nil for none.
    ///   - steps: how many steps to take before the quiet.
    ///   - isRecording: whether to write down what happens.
    package static func run(
        seed: UInt64, canary: Canary? = nil, steps: Int = Simulation.steps, isRecording: Bool = false
    ) -> Outcome {
        let world = World(seed: seed, canary: canary, isRecording: isRecording)
        for _ in 0..<steps {
            world.step()
            if canary == nil, !world.oracle.violations.isEmpty { break }
        }
        if canary != nil || world.oracle.violations.isEmpty { world.quiet() }
        return Outcome(seed: seed, violations: world.oracle.violations, log: world.log)
    }

    /// Finds the shortest beginning of a failing history that still breaks the same promise, and tells it.
    ///
    /// - Returns: nil if the history does not fail.
    package static func report(seed: UInt64, canary: Canary? = nil) -> String? {
        guard let violation = self.run(seed: seed, canary: canary).violations.first else { return nil }
        var shortest = self.steps
        for steps in 1..<self.steps
        where self.run(seed: seed, canary: canary, steps: steps).violations.contains(where: { $0.promise == violation.promise }) {
            shortest = steps
            break
        }
        let outcome = self.run(seed: seed, canary: canary, steps: shortest, isRecording: true)
        let found = outcome.violations.first { $0.promise == violation.promise } ?? violation
        return """
            \(outcome.log.joined(separator: "\n"))
            seed \(seed), \(shortest) steps: \(found)
            replay: SIM_SEED=\(seed) scripts/simulate
            """
    }
}
