import Foundation

/// Publishes to topics at a steady rate and waits for everything to arrive.
struct Delivering {
    var result = PublishResult()
    var snapshot = LoadSnapshot()
    var before: ServerUse?
    var after: ServerUse?
    /// Until everything had arrived.
    var seconds = 0.0
    /// Deliveries that should have been.
    var expected = 0

    /// Longest silence after which what is missing counts as lost, in seconds.
    private static let patience = 3.0

    /// - Parameter receivers: subscribers of each topic.
    static func measure(_ run: LoadMachine, _ fleet: Fleet, _ publisher: LoadPublisher, _ plan: PublishPlan, receivers: Int) async throws
        -> Delivering
    {
        var measured = Delivering()
        measured.before = run.process.use()
        let started = LoadLoop.now()
        async let publishing = publisher.publish(plan)
        let all = (plan.count ?? 0) * receivers
        run.progress.phase("publishing \(NumberText.count(plan.rate)) messages a second")
        // Nothing comes for as long as the plan lasts at most: then the publishes failed.
        try await fleet.wait(
            quiet: Self.patience + Double(plan.topics.count) / plan.rate,
            progress: { counts in
                run.progress.show("\(NumberText.count(Double(counts.distinct))) of \(NumberText.count(Double(all))) deliveries")
            },
            until: { $0.distinct >= all })
        measured.result = try await publishing
        measured.expected = measured.result.accepted * receivers
        let expected = measured.expected
        let counts = try await fleet.wait(quiet: Self.patience) { $0.distinct >= expected }
        measured.after = run.process.use()
        measured.snapshot = try await fleet.snapshot()
        measured.seconds = Double(max(counts.last, started + 1) - started) / 1e9
        return measured
    }

    /// - Parameter latency: whether to say that, too.
    func describe(_ report: inout BenchReport, latency: Bool = true) {
        let counts = self.snapshot.counts
        let lost = max(0, self.expected - counts.distinct)
        report.row(
            "deliveries",
            "\(NumberText.count(Double(counts.distinct))), \(NumberText.count(Double(counts.distinct) / self.seconds)) a second, lost \(lost), twice \(counts.duplicates)"
        )
        report.set("deliveries", Double(counts.distinct))
        report.set("deliveriesPerSecond", Double(counts.distinct) / self.seconds)
        report.set("lost", Double(lost))
        report.set("duplicates", Double(counts.duplicates))
        if latency { report.times("latency", "latency", self.snapshot.latency) }
        let rate = Double(self.result.accepted) / max(0.001, self.result.seconds)
        report.row(
            "publishes",
            "\(NumberText.count(Double(self.result.accepted))), \(NumberText.count(rate)) a second, refused \(self.result.refused), late by at most \(NumberText.milliseconds(Double(self.result.lateNs) / 1e6))"
        )
        report.set("publishes", Double(self.result.accepted))
        report.set("publishesPerSecond", rate)
        report.set("publishesRefused", Double(self.result.refused))
        report.set("lateMs", Double(self.result.lateNs) / 1e6)
        report.times("publish → answer", "answer", self.result.answers)
        report.use(self.before, self.after, per: "delivery", count: counts.distinct, seconds: self.seconds)
        if lost > 0 { report.fault("\(lost) of \(self.expected) deliveries were lost") }
        if counts.duplicates > 0 { report.fault("\(counts.duplicates) deliveries came twice") }
        if self.result.refused > 0 { report.fault("\(self.result.refused) publishes were refused: \(self.result.problem ?? "no reason was given")") }
        if counts.closed > 0 { report.fault("\(counts.closed) subscribers were cut off: \(counts.problem ?? "no reason was given")") }
    }
}

extension BenchReport {
    /// How many subscribers were opened.
    mutating func opened(_ wanted: Int, _ seconds: Double, _ counts: LoadCounts) {
        self.set("connections", Double(counts.open))
        self.set("openedPerSecond", Double(counts.opened) / max(0.001, seconds))
        guard counts.failed > 0 else { return }
        self.fault("\(counts.failed) of \(wanted) connections failed: \(counts.problem ?? "no reason was given")")
    }
}

/// One topic, many subscribers.
struct FanOutScenario {
    let subscribers: Int
    let rate: Double
    let seconds: Double
    /// Messages that the topic keeps; 0 leaves it to the server.
    var history = 0

    private static let keptNamespace = "martlet-bench-kept"

    func run(_ run: BenchRun) async throws -> BenchReport {
        guard self.history > 0 else { return try await self.run(run, topic: "martlet-bench/\(run.mark)") }
        let topic = "\(Self.keptNamespace)/\(run.mark)"
        return try await BenchAdmin.keeping(self.history, in: Self.keptNamespace, run) { _ in try await self.run(run, topic: topic) }
    }

    private func run(_ run: BenchRun, topic: String) async throws -> BenchReport {
        let path = run.target.subscribePath(topic: topic)
        let fleet = try await run.fleet()
        let opening = try await run.connect(fleet, 0..<self.subscribers) { _ in path }
        let publisher = try await run.publisher()
        try await run.machine.warmUp(fleet, publisher, topics: [topic], rate: self.rate)
        let plan = PublishPlan(
            topics: [topic], rate: self.rate, count: max(1, Int(self.rate * self.seconds)), bytes: run.payload)
        let measured = try await Delivering.measure(run.machine, fleet, publisher, plan, receivers: opening.counts.open)
        var report = BenchReport(
            "fan-out",
            title:
                "fan-out: \(NumberText.count(Double(opening.counts.open))) \(run.target.transport.name) subscribers of one topic, \(NumberText.rate(self.rate)) messages of \(run.payload) bytes a second for \(NumberText.rate(self.seconds)) s\(self.history > 0 ? ", \(NumberText.count(Double(self.history))) kept" : "")"
        )
        report.set("transport", run.target.transport.rawValue)
        report.set("history", Double(self.history))
        report.opened(self.subscribers, opening.seconds, opening.counts)
        measured.describe(&report)
        try await publisher.close()
        try await fleet.drop()
        return report
    }
}

/// Many topics with one subscriber each.
struct UnicastScenario {
    let topics: Int
    let rate: Double
    let seconds: Double

    func run(_ run: BenchRun) async throws -> BenchReport {
        let topics = (0..<self.topics).map { "martlet-bench/\(run.mark)/u/\($0)" }
        let paths = topics.map { run.target.subscribePath(topic: $0) }
        let fleet = try await run.fleet()
        let opening = try await run.connect(fleet, 0..<self.topics) { paths[$0] }
        let publisher = try await run.publisher()
        try await run.machine.warmUp(fleet, publisher, topics: topics, rate: self.rate)
        let plan = PublishPlan(topics: topics, rate: self.rate, count: max(1, Int(self.rate * self.seconds)), bytes: run.payload)
        let measured = try await Delivering.measure(run.machine, fleet, publisher, plan, receivers: 1)
        var report = BenchReport(
            "unicast",
            title:
                "unicast: \(NumberText.count(Double(self.topics))) topics with one \(run.target.transport.name) subscriber each, \(NumberText.count(self.rate)) messages of \(run.payload) bytes a second for \(NumberText.rate(self.seconds)) s"
        )
        report.set("transport", run.target.transport.rawValue)
        report.opened(self.topics, opening.seconds, opening.counts)
        measured.describe(&report)
        try await publisher.close()
        try await fleet.drop()
        return report
    }
}

/// Connections that only wait.
struct IdleScenario {
    let connections: Int
    let seconds: Double

    /// Opened and dropped before anything counts.
    private static let warmUp = 200

    func run(_ run: BenchRun) async throws -> BenchReport {
        let mark = run.mark
        let target = run.target
        let path: @Sendable (Int) -> String = { target.subscribePath(topic: "martlet-bench/\(mark)/i/\($0)") }
        let first = try await run.fleet()
        _ = try await run.connect(first, self.connections..<(self.connections + Self.warmUp), path: path)
        try await first.drop()
        try await Task.sleep(for: .seconds(1))
        let fleet = try await run.fleet()
        let before = run.process.use()
        let opening = try await run.connect(fleet, 0..<self.connections, path: path)
        let opened = run.process.use()
        let end = ContinuousClock.now + .seconds(self.seconds)
        while ContinuousClock.now < end {
            run.progress.show("holding \(NumberText.count(Double(opening.counts.open))) connections")
            try await Task.sleep(for: .milliseconds(100))
        }
        let after = run.process.use()
        let snapshot = try await fleet.snapshot()
        let open = snapshot.counts.open
        var report = BenchReport(
            "idle",
            title: "idle: \(NumberText.count(Double(open))) \(target.transport.name) connections, each subscribed to a topic of its own")
        report.set("transport", target.transport.rawValue)
        report.opened(self.connections, opening.seconds, opening.counts)
        report.row(
            "opened",
            "\(NumberText.count(Double(opening.counts.opened) / max(0.001, opening.seconds))) a second, in \(String(format: "%.2f", opening.seconds)) s"
        )
        report.times("connect → open", "open", snapshot.opening)
        if let before, let after {
            let each = Double(after.rssKB - before.rssKB) / Double(max(1, open))
            let shared = Double(after.pssKB - before.pssKB) / Double(max(1, open))
            report.row("memory", String(format: "%.2f KB per connection (shared pages split among processes: %.2f KB)", each, shared))
            report.set("kbPerConnection", each)
            report.set("pssKbPerConnection", shared)
        }
        report.use(before, opened, per: "opened connection", count: opening.counts.opened, seconds: opening.seconds)
        if snapshot.counts.closed > 0 {
            report.fault("\(snapshot.counts.closed) connections were cut off: \(snapshot.counts.problem ?? "no reason was given")")
        }
        try await fleet.drop()
        return report
    }
}
