import Foundation
import MartletWire

/// What a scenario found: a table for people, one JSON object for programs.
struct BenchReport {
    private(set) var title: String
    private var rows: [(label: String, text: String)] = []
    private var members: [(key: String, value: Value)] = []
    /// Why the result is not good: lost messages, refused connections.
    private(set) var faults: [String] = []

    enum Value {
        case text(String)
        case number(Double)
        case none
    }

    init(_ scenario: String, title: String) {
        self.title = title
        self.members = [("scenario", .text(scenario)), ("title", .text(title))]
    }

    /// A line of the table.
    mutating func row(_ label: String, _ text: String) { self.rows.append((label, text)) }

    /// A member of the JSON.
    mutating func set(_ key: String, _ value: Double?) { self.members.append((key, value.map { .number($0) } ?? .none)) }

    mutating func set(_ key: String, _ value: String) { self.members.append((key, .text(value))) }

    /// Something that should not be.
    mutating func fault(_ text: String) { self.faults.append(text) }

    /// Percentiles, in milliseconds.
    mutating func times(_ label: String, _ key: String, _ histogram: Histogram) {
        func text(_ percent: Double) -> String { NumberText.milliseconds(histogram.percentile(percent).map { Double($0) / 1e6 }) }
        self.row(
            label,
            "p50 \(text(50))   p90 \(text(90))   p99 \(text(99))   most \(NumberText.milliseconds(histogram.count > 0 ? Double(histogram.max) / 1e6 : nil))"
        )
        for (name, percent) in [("P50Ms", 50.0), ("P90Ms", 90), ("P99Ms", 99), ("P999Ms", 99.9)] {
            self.set(key + name, histogram.percentile(percent).map { Double($0) / 1e6 })
        }
        self.set(key + "MaxMs", histogram.count > 0 ? Double(histogram.max) / 1e6 : nil)
    }

    /// CPU and memory of the server over `count` of something.
    mutating func use(_ before: ServerUse?, _ after: ServerUse?, per what: String, count: Int, seconds: Double) {
        guard let before, let after else {
            self.row("server CPU", "unknown: no process of this machine listens there; name it with --pid")
            return
        }
        let cpu = after.cpuSeconds - before.cpuSeconds
        let user = after.userSeconds - before.userSeconds
        let each = count > 0 ? cpu / Double(count) * 1e6 : nil
        self.row(
            "server CPU",
            (each.map { String(format: "%.2f µs per %@ (%.2f of it its own code), ", $0, what, user / Double(count) * 1e6) } ?? "")
                + String(format: "%.2f cores", cpu / max(seconds, 0.001)))
        self.row("server memory", "\(NumberText.bytes(Double(before.rssKB) * 1_024)) before, \(NumberText.bytes(Double(after.rssKB) * 1_024)) after")
        self.set("serverCpuUs", each)
        self.set("serverUserUs", count > 0 ? user / Double(count) * 1e6 : nil)
        self.set("serverCores", cpu / max(seconds, 0.001))
        self.set("serverCpuSeconds", cpu)
        self.set("rssBeforeKB", Double(before.rssKB))
        self.set("rssAfterKB", Double(after.rssKB))
        self.set("pssBeforeKB", Double(before.pssKB))
        self.set("pssAfterKB", Double(after.pssKB))
    }

    // MARK: Output

    /// - Throws: ``Output/Closed``.
    func write(asJSON: Bool) throws(Output.Closed) {
        if asJSON {
            try Output.line(self.json())
        } else {
            try Output.line(self.table().utf8)
        }
        for fault in self.faults { Output.status(fault) }
    }

    private func table() -> String {
        let width = self.rows.map(\.label.count).max() ?? 0
        var text = self.title + "\n"
        for row in self.rows { text += "  \(row.label)\(String(repeating: " ", count: width - row.label.count))   \(row.text)\n" }
        return text
    }

    private func json() -> [UInt8] {
        var output: [UInt8] = [UInt8(ascii: "{")]
        for (index, member) in self.members.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            JSON.append(member.key, to: &output)
            output.append(UInt8(ascii: ":"))
            switch member.value {
            case .text(let text): JSON.append(text, to: &output)
            case .number(let number): output += (number == number.rounded() ? String(Int64(number)) : String(format: "%.4f", number)).utf8
            case .none: output += "null".utf8
            }
        }
        output += ",\"table\":{".utf8
        for (index, row) in self.rows.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            JSON.append(row.label, to: &output)
            output.append(UInt8(ascii: ":"))
            JSON.append(row.text, to: &output)
        }
        output += "},\"faults\":[".utf8
        for (index, fault) in self.faults.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            JSON.append(fault, to: &output)
        }
        return output + Array("]}".utf8)
    }
}

/// What is going on now, on standard error: one line that changes in a terminal, a line now and then elsewhere.
final class BenchProgress {
    private let isQuiet: Bool
    private let isTerminal = isatty(2) == 1
    private var shown = ContinuousClock.now - .seconds(60)
    private var isDirty = false

    init(isQuiet: Bool) { self.isQuiet = isQuiet }

    /// Says what begins.
    func phase(_ text: String) { self.show(text, every: .zero) }

    /// Says how far it is.
    func show(_ text: @autoclosure () -> String) { self.show(text(), every: self.isTerminal ? .milliseconds(100) : .seconds(5)) }

    /// Takes the line away.
    func clear() {
        if self.isDirty { Output.inPlace("") }
        self.isDirty = false
    }

    private func show(_ text: @autoclosure () -> String, every interval: Duration) {
        let now = ContinuousClock.now
        guard !self.isQuiet, now - self.shown >= interval else { return }
        self.shown = now
        guard self.isTerminal else { return Output.status(text()) }
        Output.inPlace(text())
        self.isDirty = true
    }
}
