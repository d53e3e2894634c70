import Foundation

/// One topic with many subscribers, or many topics with one each.
struct MQTTDeliveryScenario {
    let subscribers: Int
    let isFanOut: Bool
    let publishers: Int
    let rate: Double
    let seconds: Double

    func run(_ run: MQTTRun) async throws -> BenchReport {
        let base = "martlet-bench/\(run.mark)"
        let topics = self.isFanOut ? [base] : (0..<self.subscribers).map { "\(base)/u/\($0)" }
        let fleet = try await run.fleet()
        let opening = try await run.connect(fleet, 0..<self.subscribers) { topics[$0 % topics.count] }
        let publisher = try await run.publisher(self.publishers)
        try await run.machine.warmUp(fleet, publisher, topics: topics, rate: self.rate)
        let plan = PublishPlan(topics: topics, rate: self.rate, count: max(1, Int(self.rate * self.seconds)), bytes: run.payload)
        let measured = try await Delivering.measure(
            run.machine, fleet, publisher, plan, receivers: self.isFanOut ? opening.counts.open : 1)
        let count = NumberText.count(Double(opening.counts.open))
        var report = BenchReport(
            "mqtt \(self.isFanOut ? "fan-out" : "unicast")",
            title: "mqtt "
                + (self.isFanOut ? "fan-out: \(count) subscribers of one topic" : "unicast: \(count) topics with one subscriber each")
                + ", QoS \(run.qos), \(NumberText.rate(self.rate)) messages of \(run.payload) bytes a second for \(NumberText.rate(self.seconds)) s")
        report.set("qos", Double(run.qos))
        report.opened(self.subscribers, opening.seconds, opening.counts)
        measured.describe(&report)
        try await publisher.close()
        try await fleet.drop()
        return report
    }
}

/// Connections that only wait.
struct MQTTIdleScenario {
    let connections: Int
    let seconds: Double

    /// Opened and dropped before anything counts.
    static let warmUp = 200

    func run(_ run: MQTTRun) async throws -> BenchReport {
        let base = "martlet-bench/\(run.mark)/i"
        let topic: @Sendable (Int) -> String = { "\(base)/\($0)" }
        let first = try await run.fleet()
        _ = try await run.connect(first, self.connections..<(self.connections + Self.warmUp), topic: topic)
        try await first.drop()
        try await Task.sleep(for: .seconds(1))
        let fleet = try await run.fleet()
        let before = run.process.use()
        let opening = try await run.connect(fleet, 0..<self.connections, topic: topic)
        let opened = run.process.use()
        // What opening leaves behind is not rest.
        try await Task.sleep(for: .seconds(1))
        let calm = run.process.use()
        let started = LoadLoop.now()
        let end = ContinuousClock.now + .seconds(self.seconds)
        while ContinuousClock.now < end {
            run.progress.show("holding \(NumberText.count(Double(opening.counts.open))) connections")
            try await Task.sleep(for: .milliseconds(100))
        }
        let after = run.process.use()
        let seconds = Double(LoadLoop.now() - started) / 1e9
        let snapshot = try await fleet.snapshot()
        let open = snapshot.counts.open
        var report = BenchReport(
            "mqtt idle",
            title:
                "mqtt idle: \(NumberText.count(Double(open))) connections, each subscribed to a topic of its own with QoS \(run.qos), keep alive \(MQTTSession.keepAlive) s"
        )
        report.set("qos", Double(run.qos))
        report.opened(self.connections, opening.seconds, opening.counts)
        report.row(
            "opened",
            "\(NumberText.count(Double(opening.counts.opened) / max(0.001, opening.seconds))) a second, in \(String(format: "%.2f", opening.seconds)) s"
        )
        report.times("connect → subscribed", "open", snapshot.opening)
        if let before, let calm, let after {
            let each = Double(after.rssKB - before.rssKB) / Double(max(1, open))
            report.row("memory", String(format: "%.2f KB per connection", each))
            report.set("kbPerConnection", each)
            let cores = (after.cpuSeconds - calm.cpuSeconds) / max(seconds, 0.001)
            report.row(
                "at rest",
                String(
                    format: "%.2f %% of a core over %.1f s, %.1f µs a second for each thousand connections", cores * 100, seconds,
                    cores * 1e9 / Double(max(1, open))))
            report.set("restCores", cores)
        }
        report.times("ping → answer", "ping", snapshot.pings)
        report.set("pings", Double(snapshot.pings.count))
        report.use(before, opened, per: "opened connection", count: opening.counts.opened, seconds: opening.seconds)
        if snapshot.counts.closed > 0 {
            report.fault("\(snapshot.counts.closed) connections were cut off: \(snapshot.counts.problem ?? "no reason was given")")
        }
        try await fleet.drop()
        return report
    }
}

/// Publishers with QoS 1 that go as fast as they are answered.
struct MQTTPublishScenario {
    let publishers: Int
    let window: Int
    let topics: Int
    let subscribers: Int
    let isOffline: Bool
    let drains: Bool
    let seconds: Double

    /// Longest silence after which what is missing counts as lost, in seconds.
    private static let patience = 5.0
    /// Published before anything counts, in seconds.
    private static let warmUp = 1.0

    func run(_ run: MQTTRun) async throws -> BenchReport {
        let topics = (0..<self.topics).map { "martlet-bench/\(run.mark)/q/\($0)" }
        let all = topics.joined(separator: "\n")
        let fleet = try await run.fleet(isClean: false)
        if self.subscribers > 0 {
            _ = try await run.connect(fleet, 0..<self.subscribers) { _ in all }
            if self.isOffline { try await fleet.drop() }
        }
        let pumps = try await run.pumps(self.publishers, topics: topics, window: self.window)
        run.progress.phase("warming up")
        try await pumps.start()
        try await Task.sleep(for: .seconds(Self.warmUp))
        try await pumps.reset()
        let own = ServerProcess(pids: [Int(getpid())], address: run.address)
        let ownBefore = own.use()
        let before = run.process.use()
        let started = LoadLoop.now()
        let end = ContinuousClock.now + .seconds(self.seconds)
        while ContinuousClock.now < end {
            let counts = try await pumps.counts()
            run.progress.show("\(NumberText.count(Double(counts.acked))) publishes answered")
            guard counts.failed < self.publishers else { break }
            try await Task.sleep(for: .milliseconds(100))
        }
        let counts = try await pumps.counts()
        let after = run.process.use()
        let ownAfter = own.use()
        let seconds = Double(LoadLoop.now() - started) / 1e9
        try await pumps.stop()
        let final = try await self.settle(pumps)
        try await pumps.close()

        var report = BenchReport(
            "mqtt publish",
            title:
                "mqtt publish: \(self.publishers) publishers with QoS 1 and \(self.window) unanswered messages of \(run.payload) bytes each\(self.subscribers > 0 ? ", \(self.subscribers) persistent subscribers \(self.isOffline ? "away" : "connected")" : ""), for \(NumberText.rate(self.seconds)) s"
        )
        report.set("publishers", Double(self.publishers))
        report.set("window", Double(self.window))
        report.row(
            "publishes",
            "\(NumberText.count(Double(counts.measured))) answered, \(NumberText.count(Double(counts.measured) / seconds)) a second; \(final.sent - final.acked) without an answer"
        )
        report.set("publishes", Double(counts.measured))
        report.set("publishesPerSecond", Double(counts.measured) / seconds)
        report.set("unanswered", Double(final.sent - final.acked))
        report.times("publish → PUBACK", "answer", counts.answers)
        report.use(before, after, per: "publish", count: counts.measured, seconds: seconds)
        if let ownBefore, let ownAfter {
            let cores = (ownAfter.cpuSeconds - ownBefore.cpuSeconds) / seconds
            report.row("load", String(format: "%.2f cores, with %d threads that publish", cores, run.machine.subscriberLoops.count))
            report.set("loadCores", cores)
        }
        if final.failed > 0 { report.fault("\(final.failed) publishers were cut off: \(final.problem ?? "no reason was given")") }
        if final.sent > final.acked { report.fault("\(final.sent - final.acked) publishes were not answered") }
        if self.subscribers > 0 { try await self.receive(run, fleet, acked: final.acked, path: all, &report) }
        return report
    }

    /// Waits until all is answered, or nothing more is.
    private func settle(_ pumps: MQTTPumps) async throws -> MQTTPumpCounts {
        var last = try await pumps.counts()
        var changed = ContinuousClock.now
        while last.acked < last.sent, ContinuousClock.now - changed < .seconds(Self.patience) {
            try await Task.sleep(for: .milliseconds(20))
            let counts = try await pumps.counts()
            if counts.acked != last.acked { changed = .now }
            last = counts
        }
        return last
    }

    /// What the persistent subscribers get; at the end the broker forgets their sessions.
    private func receive(_ run: MQTTRun, _ fleet: Fleet, acked: Int, path: String, _ report: inout BenchReport) async throws {
        if self.drains || !self.isOffline {
            let wanted = acked * self.subscribers
            let started = LoadLoop.now()
            if self.isOffline { _ = try await fleet.connect() }
            let counts = try await fleet.wait(quiet: Self.patience) { counts in
                run.progress.show("\(NumberText.count(Double(counts.distinct))) of \(NumberText.count(Double(wanted))) received")
            } until: {
                $0.distinct >= wanted
            }
            let seconds = Double(max(counts.last, started + 1) - started) / 1e9
            // What was sent and not answered may come, too.
            let lost = max(0, wanted - counts.distinct)
            report.row(
                "persistent subscribers",
                "\(NumberText.count(Double(counts.distinct))) received, lost \(lost), twice \(counts.duplicates)"
                    + (self.isOffline ? String(format: "; all %.2f s after coming back", seconds) : ""))
            report.set("deliveries", Double(counts.distinct))
            report.set("lost", Double(lost))
            report.set("duplicates", Double(counts.duplicates))
            if self.isOffline {
                report.set("drainSeconds", seconds)
            } else {
                report.times("publish → delivery", "latency", try await fleet.snapshot().latency)
            }
            if lost > 0 {
                report.fault("\(lost) of \(wanted) deliveries to persistent subscribers were lost: \(counts.problem ?? "they stayed connected")")
            }
            if counts.duplicates > 0 { report.fault("\(counts.duplicates) deliveries came twice") }
        }
        try await fleet.drop()
        let last = try await run.fleet(isClean: true)
        _ = try await last.connect(0..<self.subscribers) { _ in path }
        try await last.drop()
    }
}
