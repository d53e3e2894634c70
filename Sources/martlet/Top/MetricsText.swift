import Foundation

/// A reading of `/metrics`: the numbers of Prometheus' text format.
struct MetricsText {
    /// By name, then by labels as they are written, sorted: `transport="sse"`; empty without labels.
    private var series: [String: [String: Double]] = [:]

    init(_ text: String) {
        for line in text.split(separator: "\n") where line.first != "#" {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { continue }
            let name = line[..<space]
            if let brace = name.firstIndex(of: "{"), name.last == "}" {
                let labels = name[name.index(after: brace)...].dropLast()
                self.series[String(name[..<brace]), default: [:]][String(labels)] = value
            } else {
                self.series[String(name), default: [:]][""] = value
            }
        }
    }

    /// The sum over all label sets; nil if the server has no such metric.
    func total(_ name: String) -> Double? {
        guard let series = self.series[name] else { return nil }
        return series.values.reduce(0, +)
    }

    func value(_ name: String, _ labels: String = "") -> Double? { self.series[name]?[labels] }

    /// The values by that of one label.
    func values(_ name: String, by label: String) -> [String: Double] {
        var values: [String: Double] = [:]
        for (labels, value) in self.series[name] ?? [:] {
            if let name = Self.label(label, in: labels) { values[name, default: 0] += value }
        }
        return values
    }

    /// A histogram's buckets, ascending: bound, and how many are at or below it.
    func buckets(_ name: String) -> [(bound: Double, count: Double)] {
        self.values(name + "_bucket", by: "le").compactMap { bound, count in
            (bound == "+Inf" ? Double.infinity : Double(bound)).map { ($0, count) }
        }.sorted { $0.0 < $1.0 }
    }

    private static func label(_ name: String, in labels: String) -> String? {
        let labels = "," + labels
        guard let start = labels.range(of: ",\(name)=\"")?.upperBound else { return nil }
        return labels[start...].firstIndex(of: "\"").map { String(labels[start..<$0]) }
    }
}

/// What changed between two readings of one run of the server.
struct MetricsChange {
    let before: MetricsText
    let now: MetricsText
    /// Between the readings.
    let seconds: Double

    func rate(_ name: String) -> Double {
        max(0, (self.now.total(name) ?? 0) - (self.before.total(name) ?? 0)) / self.seconds
    }

    func rates(_ name: String, by label: String) -> [String: Double] {
        let before = self.before.values(name, by: label)
        return self.now.values(name, by: label)
            .reduce(into: [:]) { $0[$1.key] = max(0, $1.value - (before[$1.key] ?? 0)) / self.seconds }
    }

    /// The mean of what a histogram took in the meantime; nil if it took nothing.
    func mean(_ name: String) -> Double? {
        let count = (self.now.value(name + "_count") ?? 0) - (self.before.value(name + "_count") ?? 0)
        guard count > 0 else { return nil }
        return ((self.now.value(name + "_sum") ?? 0) - (self.before.value(name + "_sum") ?? 0)) / count
    }

    /// A quantile of what a histogram took in the meantime, as exact as its buckets are; nil if it took nothing.
    func quantile(_ share: Double, of name: String) -> Double? {
        let before = Dictionary(self.before.buckets(name).map { ($0.bound, $0.count) }) { $1 }
        let buckets = self.now.buckets(name).map { ($0.bound, $0.count - (before[$0.bound] ?? 0)) }
        guard let total = buckets.last?.1, total > 0 else { return nil }
        let rank = share * total
        var low = 0.0
        var below = 0.0
        for (bound, count) in buckets {
            if count >= rank, count > below {
                // Above the last bound nothing is known but that.
                guard bound.isFinite else { return low }
                return low + (bound - low) * (rank - below) / (count - below)
            }
            if bound.isFinite { low = bound }
            below = count
        }
        return low
    }
}
