import Foundation

/// Numbers for the eye: few digits, the unit beside them.
enum NumberText {
    /// `1,234,567`.
    static func count(_ value: Double) -> String {
        var digits = Array(String(Int64(value.rounded())))
        var index = digits.count - 3
        while index > (digits.first == "-" ? 1 : 0) {
            digits.insert(",", at: index)
            index -= 3
        }
        return String(digits)
    }

    /// Of something a second: below ten with a decimal.
    static func rate(_ value: Double) -> String {
        if value == 0 { return "0" }
        return value < 9.95 ? String(format: "%.1f", value) : self.count(value)
    }

    static func milliseconds(_ value: Double?) -> String {
        guard let value else { return "–" }
        if value < 9.995 { return String(format: "%.2f ms", value) }
        if value < 99.95 { return String(format: "%.1f ms", value) }
        if value < 9_995 { return "\(self.count(value)) ms" }
        return String(format: "%.1f s", value / 1_000)
    }

    static func bytes(_ value: Double) -> String {
        var value = value
        for unit in ["B", "kB", "MB", "GB"] {
            if value < 999.5 { return String(format: value < 9.95 && unit != "B" ? "%.1f \(unit)" : "%.0f \(unit)", value) }
            value /= 1_000
        }
        return String(format: "%.1f TB", value)
    }

    static func duration(_ seconds: Double) -> String {
        let seconds = Int(seconds)
        if seconds < 60 { return "\(seconds) s" }
        if seconds < 3_600 { return "\(seconds / 60) min \(seconds % 60) s" }
        if seconds < 86_400 { return "\(seconds / 3_600) h \(seconds % 3_600 / 60) min" }
        return "\(seconds / 86_400) d \(seconds % 86_400 / 3_600) h"
    }

    /// The newest values as bars, the newest at the right; the highest of them is a full one.
    static func bars(_ values: [Double], width: Int) -> String {
        let shown = values.suffix(max(0, width))
        let most = shown.max() ?? 0
        let steps = Array("▁▂▃▄▅▆▇█")
        return String(
            shown.map { value in
                value <= 0 || most <= 0 ? steps[0] : steps[min(7, 1 + Int(value / most * 6.999))]
            })
    }
}
