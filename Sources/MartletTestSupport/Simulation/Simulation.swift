/// One history that is being played.
protocol SimulatedWorld {
    var violations: [Violation] { get }
    var log: [String] { get }
    /// One thing happens, by chance.
    func step()
    /// Trouble is over: everybody comes back and goes on until nothing more comes.
    func quiet()
}

/// Plays random histories, each from a seed, and says which promise was broken.
package struct Simulation<Rule: Sendable>: Sendable {
    /// How a history ended.
    package struct Outcome: Sendable {
        /// The first violation of each promise, in the order of their discovery.
        package var violations: [Violation]
        /// What happened, if it was asked for.
        package var log: [String]
    }

    /// Steps of a history, before the quiet at its end.
    private static var steps: Int { 400 }

    package let name: String
    private let world: @Sendable (_ seed: UInt64, _ canary: Rule?, _ isRecording: Bool) -> any SimulatedWorld

    init(_ name: String, _ world: @escaping @Sendable (_ seed: UInt64, _ canary: Rule?, _ isRecording: Bool) -> any SimulatedWorld) {
        self.name = name
        self.world = world
    }

    /// Plays one history.
    ///
    /// - Parameters:
    ///   - canary: which rule to break; nil for none.
    ///   - steps: how many steps to take before the quiet; nil for all.
    ///   - isRecording: whether to write down what happens.
    package func run(seed: UInt64, canary: Rule? = nil, steps: Int? = nil, isRecording: Bool = false) -> Outcome {
        let world = self.world(seed, canary, isRecording)
        for _ in 0..<(steps ?? Self.steps) {
            world.step()
            if canary == nil, !world.violations.isEmpty { break }
        }
        if canary != nil || world.violations.isEmpty { world.quiet() }
        return Outcome(violations: world.violations, log: world.log)
    }

    /// Finds the shortest beginning of a failing history that still breaks the same promise, and tells it.
    ///
    /// - Returns: nil if the history does not fail.
    package func report(seed: UInt64) -> String? {
        guard let violation = self.run(seed: seed).violations.first else { return nil }
        func isSame(_ other: Violation) -> Bool { other.promise == violation.promise }
        let shortest = (1..<Self.steps).first { self.run(seed: seed, steps: $0).violations.contains(where: isSame) } ?? Self.steps
        let outcome = self.run(seed: seed, steps: shortest, isRecording: true)
        return """
            \(outcome.log.joined(separator: "\n"))
            \(self.name), seed \(seed), \(shortest) steps: \(outcome.violations.first(where: isSame) ?? violation)
            replay: SIM_SEED=\(seed) scripts/simulate
            """
    }
}

/// A rule to break on purpose, and the promise whose check must catch it.
package protocol BrokenRule: Sendable, CaseIterable {
    var promise: Promise { get }
}

extension Simulation where Rule == Canary {
    /// Inboxes of users, devices and everyone.
    package static var inboxes: Self { Self("inboxes") { World(seed: $0, canary: $1, isRecording: $2) } }
}

extension Simulation where Rule == TopicCanary {
    package static var topics: Self { Self("topics") { TopicWorld(seed: $0, canary: $1, isRecording: $2) } }
}

extension World: SimulatedWorld {
    var violations: [Violation] { self.oracle.violations }
}

extension TopicWorld: SimulatedWorld {
    var violations: [Violation] { self.oracle.violations }
}

extension Canary: BrokenRule {}
extension TopicCanary: BrokenRule {}
