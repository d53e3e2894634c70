#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How texts from anywhere become part of a log line that stays one line.
enum LogText {
    /// A value as it stands after `=`: quoted if it is not one plain word.
    static func value(_ text: String) -> String {
        let isPlain = !text.isEmpty && text.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" && $0 != "\\" && !Self.isUnsafe($0) }
        return isPlain ? text : "\"\(Self.escaped(text, quotes: true))\""
    }

    /// A key: what is no letter, digit, `_`, `-` or `.` becomes `_`.
    static func word(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar {
                    case "a"..."z", "A"..."Z", "0"..."9", "_", "-", ".": scalar
                    default: "_"
                    }
                }))
    }

    /// The text with escapes for everything that could end a line or steer a terminal.
    static func escaped(_ text: String, quotes: Bool = false) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": escaped += "\\n"
            case "\r": escaped += "\\r"
            case "\t": escaped += "\\t"
            case "\\": escaped += "\\\\"
            case "\"" where quotes: escaped += "\\\""
            case _ where Self.isUnsafe(scalar): escaped += "\\u{\(String(scalar.value, radix: 16))}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// A JSON string (RFC 8259 §7), with its quotes; what is unsafe in a line of text is escaped here too.
    static func json(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": quoted += "\\n"
            case "\\": quoted += "\\\\"
            case "\"": quoted += "\\\""
            case _ where Self.isUnsafe(scalar):
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// Control characters (C0, DEL, C1), line and paragraph separators, and those that turn the direction of writing.
    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f...0x9f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true
        default: false
        }
    }

    static func cut(_ text: String, to count: Int) -> String {
        guard text.unicodeScalars.count > count else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(count))) + "…"
    }

    /// `2026-11-21T06:00:00.000Z` (RFC 3339), from Unix time in milliseconds.
    static func time(_ wallMs: Int64) -> String {
        var seconds = time_t(wallMs / 1_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ value: Int, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = "\(digits(Int(parts.tm_year) + 1_900, 4))-\(digits(Int(parts.tm_mon) + 1, 2))-\(digits(Int(parts.tm_mday), 2))"
        let time = "\(digits(Int(parts.tm_hour), 2)):\(digits(Int(parts.tm_min), 2)):\(digits(Int(parts.tm_sec), 2))"
        return "\(date)T\(time).\(digits(Int(wallMs % 1_000), 3))Z"
    }
}
