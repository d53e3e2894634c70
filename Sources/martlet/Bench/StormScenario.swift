import Foundation

/// Everybody is cut off and comes back at once.
struct StormScenario {
    let connections: Int
    let topics: Int
    let rate: Double
    let seconds: Double
    let away: Double

    /// Namespace of the topics.
    private static let namespace = "martlet-bench-storm"
    /// Messages that a topic keeps: what comes while all are away must fit.
    private static let history = 10_000
    private static let attempts = 10
    /// Longest silence after which what is missing counts as lost, in seconds.
    private static let patience = 10.0

    /// What the run found, before it is written down.
    private struct Found {
        var opening: (seconds: Double, counts: LoadCounts)
        var calm: PublishResult
        var storm: PublishResult
        var snapshot: LoadSnapshot
        /// Seconds until all streams were open again.
        var reopened: Double
        var missing: Int
        var before: ServerUse?
        var after: ServerUse?
        var peakKB: Int
    }

    func run(_ run: BenchRun) async throws -> BenchReport {
        let found = try await BenchAdmin.keeping(Self.history, in: Self.namespace, run) { try await self.measure(run, $0) }
        return self.report(run, found)
    }

    private func measure(_ run: BenchRun, _ admin: BenchAdmin) async throws -> Found {
        let names = (0..<self.topics).map { "\(Self.namespace)/\(run.mark)/\($0)" }
        let mark = run.mark
        let base = run.target.prefix + run.target.transport.path
        let fleet = try await run.fleet(MemberBehaviour(keepsCursor: true))
        let opening = try await run.connect(fleet, 0..<self.connections) { index in
            "\(base)?user=bench-\(mark)-\(index)&device=bench-\(mark)-\(index)&ack=none&topics=\(names[index % names.count])"
        }
        let publisher = try await run.publisher()

        // The calm before: every topic gets the same number.
        run.progress.phase("publishing in the calm")
        let rounds = max(1, Int(self.rate * self.seconds) / self.topics)
        let calm = try await publisher.publish(
            PublishPlan(topics: names, rate: self.rate, count: rounds * self.topics, bytes: run.payload))
        let calmAll = rounds * self.connections
        try await fleet.wait(quiet: Self.patience) { $0.distinct >= calmAll }

        let before = run.process.use()
        let plan = PublishPlan(topics: names, rate: self.rate, bytes: run.payload, firstNumber: rounds + 1)
        let publishing = Task { try await publisher.publish(plan) }
        run.progress.phase("cutting all off")
        try await fleet.drop()
        let left = ContinuousClock.now
        try await admin.fill(self.connections, payload: run.payload) {
            (user: "bench-\(mark)-\($0)", number: 1)
        } progress: { done in
            run.progress.show("\(NumberText.count(Double(done))) inboxes have a message")
        }
        try await Task.sleep(until: left + .seconds(self.away))

        let made = try await publisher.made()
        let topics = self.topics
        let since = LoadLoop.now()
        try await fleet.want { index in
            Member.Wanted(topic: rounds + (made - index % topics + topics - 1) / topics, inbox: 1, since: since)
        }
        run.progress.phase("all come back at once")
        var reopened = try await fleet.connect()
        for _ in 1..<Self.attempts where try await fleet.counts().open < self.connections { reopened += try await fleet.connect() }
        var peak = before?.rssKB ?? 0
        try await fleet.wait(quiet: Self.patience) { counts in
            peak = max(peak, run.process.use()?.rssKB ?? 0)
            run.progress.show("\(NumberText.count(Double(counts.recovered))) have recovered")
        } until: {
            $0.recovered >= self.connections
        }

        // A little longer, so that what is published to those who are back counts too.
        try await Task.sleep(for: .seconds(1))
        try await publisher.stop()
        let storm = try await publishing.value
        let all = self.expected(calm: rounds, made: storm.sent)
        let counts = try await fleet.wait(quiet: Self.patience) { $0.distinct >= all && $0.inboxDistinct >= self.connections }
        let after = run.process.use()
        let snapshot = try await fleet.snapshot()
        try await publisher.close()
        try await fleet.drop()
        return Found(
            opening: opening, calm: calm, storm: storm, snapshot: snapshot, reopened: reopened,
            missing: max(0, all - counts.distinct) + max(0, self.connections - counts.inboxDistinct), before: before, after: after, peakKB: peak)
    }

    /// Deliveries of topics that should have been: what each topic got, times who subscribes to it.
    private func expected(calm: Int, made: Int) -> Int {
        (0..<self.topics).reduce(0) { sum, topic in
            let members = (self.connections - topic + self.topics - 1) / self.topics
            return sum + members * (calm + (made - topic + self.topics - 1) / self.topics)
        }
    }

    private func report(_ run: BenchRun, _ found: Found) -> BenchReport {
        let counts = found.snapshot.counts
        var report = BenchReport(
            "storm",
            title:
                "storm: \(NumberText.count(Double(self.connections))) \(run.target.transport.name) devices with an inbox and one of \(self.topics) topics each, cut off and back at once; \(NumberText.count(self.rate)) publishes a second all the time"
        )
        report.set("transport", run.target.transport.rawValue)
        report.opened(self.connections, found.opening.seconds, found.opening.counts)
        let recovered = counts.recovered == self.connections ? Double(found.snapshot.recovery.max) / 1e9 : nil
        report.row(
            "recovered",
            recovered.map { String(format: "all after %.2f s; streams were open again after %.2f s", $0, found.reopened) }
                ?? "only \(counts.recovered) of \(self.connections)")
        report.set("recoveredSeconds", recovered)
        report.set("reopenedSeconds", found.reopened)
        report.times("back → has all", "recovery", found.snapshot.recovery)
        let received = counts.distinct + counts.inboxDistinct
        report.row(
            "deliveries", "\(NumberText.count(Double(received))), lost \(found.missing), twice \(counts.duplicates), gaps \(counts.gaps)")
        report.set("deliveries", Double(received))
        report.set("lost", Double(found.missing))
        report.set("duplicates", Double(counts.duplicates))
        report.set("gaps", Double(counts.gaps))
        report.times("publish → answer, calm", "calmAnswer", found.calm.answers)
        report.times("publish → answer, storm", "stormAnswer", found.storm.answers)
        if let before = found.before, let after = found.after {
            report.row(
                "server",
                String(format: "%.2f CPU seconds for the storm; memory ", after.cpuSeconds - before.cpuSeconds)
                    + "\(NumberText.bytes(Double(before.rssKB) * 1_024)) before, \(NumberText.bytes(Double(found.peakKB) * 1_024)) at most")
            report.set("serverCpuSeconds", after.cpuSeconds - before.cpuSeconds)
            report.set("rssBeforeKB", Double(before.rssKB))
            report.set("rssPeakKB", Double(found.peakKB))
        }
        let refused = found.calm.refused + found.storm.refused
        if found.missing > 0 { report.fault("\(found.missing) deliveries were lost") }
        if counts.gaps > 0 { report.fault("\(counts.gaps) gaps were told") }
        if refused > 0 { report.fault("\(refused) publishes were refused: \(found.storm.problem ?? found.calm.problem ?? "no reason was given")") }
        if counts.recovered < self.connections {
            report.fault("\(self.connections - counts.recovered) connections did not recover: \(counts.problem ?? "no reason was given")")
        }
        return report
    }
}
