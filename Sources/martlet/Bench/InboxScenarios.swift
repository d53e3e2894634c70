import Foundation

/// Devices that come back to full inboxes.
struct BacklogScenario {
    let messages: Int
    let devices: Int

    /// Longest silence after which what is missing counts as lost, in seconds.
    private static let patience = 10.0

    func run(_ run: BenchRun) async throws -> BenchReport {
        let mark = run.mark
        let all = self.messages * self.devices
        let admin = BenchAdmin(run)
        let began = LoadLoop.now()
        do {
            try await admin.fill(all, payload: run.payload) {
                (user: "bench-\(mark)-\($0 % self.devices)", number: $0 / self.devices + 1)
            } progress: {
                run.progress.show("\(NumberText.count(Double($0))) of \(NumberText.count(Double(all))) messages wait")
            }
        } catch {
            await admin.shutdown()
            throw error
        }
        await admin.shutdown()
        let filled = Double(LoadLoop.now() - began) / 1e9

        let isAcked = run.target.transport != .sse
        let base = run.target.prefix + run.target.transport.path
        let fleet = try await run.fleet(MemberBehaviour(acks: isAcked))
        let before = run.process.use()
        var peak = before?.rssKB ?? 0
        let started = LoadLoop.now()
        let opening = try await run.connect(fleet, 0..<self.devices) { "\(base)?user=bench-\(mark)-\($0)&device=bench-\(mark)-\($0)" }
        let counts = try await fleet.wait(quiet: Self.patience) { counts in
            peak = max(peak, run.process.use()?.rssKB ?? 0)
            run.progress.show("\(NumberText.count(Double(counts.inboxDistinct))) of \(NumberText.count(Double(all))) received")
        } until: {
            $0.inboxDistinct >= all
        }
        let after = run.process.use()
        try await fleet.drop()

        let first = counts.first > started ? Double(counts.first - started) / 1e9 : nil
        let last = counts.last > started ? Double(counts.last - started) / 1e9 : nil
        let lost = all - counts.inboxDistinct
        var report = BenchReport(
            "backlog",
            title:
                "backlog: \(NumberText.count(Double(self.messages))) messages of \(run.payload) bytes wait for \(self.devices == 1 ? "a device" : "each of \(self.devices) devices"), read over \(run.target.transport.name)\(isAcked ? ", acked" : "")"
        )
        report.set("transport", run.target.transport.rawValue)
        report.opened(self.devices, opening.seconds, opening.counts)
        report.row("stored", "\(NumberText.count(Double(all) / filled)) a second, in batches of 1,000, one after the other")
        report.set("storedPerSecond", Double(all) / filled)
        report.row("first message", "\(NumberText.milliseconds(first.map { $0 * 1_000 })) after connecting")
        report.set("firstSeconds", first)
        report.row(
            "all messages",
            last.map {
                String(format: "%.2f s after connecting, ", $0) + "\(NumberText.count(Double(counts.inboxDistinct) / max(0.001, $0))) a second"
            }
                ?? "none came")
        report.set("allSeconds", last)
        report.set("deliveriesPerSecond", last.map { Double(counts.inboxDistinct) / max(0.001, $0) })
        report.row("lost, twice", "\(lost), \(counts.duplicates)")
        report.set("lost", Double(lost))
        report.set("duplicates", Double(counts.duplicates))
        report.use(before, after, per: "delivery", count: counts.inboxDistinct, seconds: last ?? 0)
        if let before {
            report.row(
                "memory at most",
                "\(NumberText.bytes(Double(peak) * 1_024)), \(NumberText.bytes(Double(max(0, peak - before.rssKB)) * 1_024)) more than before")
            report.set("rssPeakKB", Double(peak))
        }
        if lost > 0 { report.fault("\(lost) messages were lost: \(counts.problem ?? "the connections stayed open")") }
        if counts.duplicates > 0 { report.fault("\(counts.duplicates) messages came twice") }
        return report
    }
}

/// A fan-out without and with subscribers that read nothing.
struct StalledScenario {
    let subscribers: Int
    let stalled: Int
    let rate: Double
    let seconds: Double
    let stallSeconds: Double

    func run(_ run: BenchRun) async throws -> BenchReport {
        let payload = run.machine.options.payload ?? 1_024
        let topic = "martlet-bench/\(run.mark)"
        let path = run.target.subscribePath(topic: topic)
        let fleet = try await run.fleet(MemberBehaviour(keepsCursor: true))
        let opening = try await run.connect(fleet, 0..<self.subscribers) { _ in path }
        let publisher = try await run.publisher()
        try await run.machine.warmUp(fleet, publisher, topics: [topic], rate: self.rate)
        let count = max(1, Int(self.rate * self.seconds))
        let without = try await Delivering.measure(
            run.machine, fleet, publisher, PublishPlan(topics: [topic], rate: self.rate, count: count, bytes: payload), receivers: opening.counts.open
        )
        try await fleet.reset()

        let others = try await run.fleet(MemberBehaviour(keepsCursor: true, stalls: true))
        _ = try await run.connect(others, self.subscribers..<(self.subscribers + self.stalled)) { _ in path }
        let with = try await Delivering.measure(
            run.machine, fleet, publisher,
            PublishPlan(topics: [topic], rate: self.rate, count: max(1, Int(self.rate * self.stallSeconds)), bytes: payload, firstNumber: count + 1),
            receivers: opening.counts.open)

        // What they find when they read again shows that they did stall.
        try await others.resume()
        let late = try await others.wait(quiet: 1) { _ in false }

        var report = BenchReport(
            "stalled",
            title:
                "stalled: \(self.stalled) of \(NumberText.count(Double(self.subscribers + self.stalled))) \(run.target.transport.name) subscribers \(self.stalled == 1 ? "reads" : "read") nothing for \(NumberText.rate(self.stallSeconds)) s; \(NumberText.rate(self.rate)) messages of \(payload) bytes a second"
        )
        report.set("transport", run.target.transport.rawValue)
        report.opened(self.subscribers, opening.seconds, opening.counts)
        report.times("latency without it", "latencyWithout", without.snapshot.latency)
        report.times("latency of the others with it", "latency", with.snapshot.latency)
        with.describe(&report, latency: false)
        report.set("gaps", Double(with.snapshot.counts.gaps))
        let missed = with.result.accepted * self.stalled - late.distinct
        report.row(
            self.stalled == 1 ? "it, when it read again" : "they, when they read again",
            "\(NumberText.count(Double(late.distinct))) messages; gaps told: \(late.gaps); cut off: \(late.closed)")
        report.set("stalledReceived", Double(late.distinct))
        report.set("stalledMissed", Double(missed))
        report.set("stalledGaps", Double(late.gaps))
        report.set("stalledClosed", Double(late.closed))
        if missed > 0, late.gaps == 0, late.closed == 0 { report.fault("\(missed) messages are missing after the stall, and nothing said so") }
        if let calm = without.before, let stalled = with.after {
            report.set("rssCalmKB", Double(calm.rssKB))
            report.set("rssGrowthKB", Double(stalled.rssKB - calm.rssKB))
        }
        try await publisher.close()
        try await others.drop()
        try await fleet.drop()
        return report
    }
}
