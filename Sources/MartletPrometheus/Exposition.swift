/// Prometheus' text format, version 0.0.4.
package enum Exposition {
    /// For the `Content-Type` header.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    static func write(_ name: String, help: String?, _ family: Prometheus.Family, to text: inout String) {
        var lines = ""
        for (labels, source) in family.series.sorted(by: { $0.key < $1.key }) {
            switch source {
            case .counter(let cell): lines += "\(name)\(Self.braced(labels)) \(cell.value)\n"
            case .sum(let cell): lines += "\(name)\(Self.braced(labels)) \(Self.number(cell.value))\n"
            case .gauge(let cell): lines += "\(name)\(Self.braced(labels)) \(Self.number(cell.value))\n"
            case .asked(let value):
                if let value = value() { lines += "\(name)\(Self.braced(labels)) \(Self.number(value))\n" }
            case .histogram(let cell): Self.write(name, labels, cell, to: &lines)
            }
        }
        guard !lines.isEmpty else { return }
        if let help { text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n" }
        text += "# TYPE \(name) \(family.kind.rawValue)\n"
        text += lines
    }

    private static func write(_ name: String, _ labels: String, _ cell: HistogramCell, to lines: inout String) {
        let counts = cell.cumulative
        let before = labels.isEmpty ? "" : labels + ","
        for (bound, count) in zip(cell.bounds, counts) {
            lines += "\(name)_bucket{\(before)le=\"\(Self.number(bound))\"} \(count)\n"
        }
        let total = counts.last ?? 0
        lines += "\(name)_bucket{\(before)le=\"+Inf\"} \(total)\n"
        lines += "\(name)_sum\(Self.braced(labels)) \(Self.number(cell.total))\n"
        lines += "\(name)_count\(Self.braced(labels)) \(total)\n"
    }

    private static func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

    /// A label set as it stands between braces, sorted by name, so that the same set is always the same text.
    static func labels(_ dimensions: [(String, String)]) -> String {
        dimensions.map { (Self.name($0.0, colons: false), $0.1) }.sorted { $0.0 < $1.0 }
            .map { "\($0.0)=\"\(Self.escaped($0.1, quotes: true))\"" }.joined(separator: ",")
    }

    /// A metric's or label's name with `_` for what it may not hold.
    static func name(_ text: String, colons: Bool) -> String {
        var name = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "a"..."z", "A"..."Z", "_": name.unicodeScalars.append(scalar)
            case "0"..."9" where !name.isEmpty: name.unicodeScalars.append(scalar)
            case ":" where colons: name.unicodeScalars.append(scalar)
            default: name += "_"
            }
        }
        return name.isEmpty ? "_" : name
    }

    static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value == value.rounded(), abs(value) < 9e15 { return String(Int64(value)) }
        return "\(value)"
    }
}
