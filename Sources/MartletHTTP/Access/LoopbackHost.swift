import MartletNet

/// Tells the hosts that can only mean this machine from those that somebody may point at it (DNS rebinding).
///
/// They are `localhost` and all names below it (RFC 6761 §6.3), literals of `127.0.0.0/8`, and of version 6 `[::1]` in any
/// spelling, or one of those as `[::ffff:127.0.0.1]`.
package enum LoopbackHost {
    private static let dot = UInt8(ascii: ".")

    /// - Parameter text: a `Host`, or what follows the scheme of an origin: a host, perhaps with a port (RFC 3986 §3.2).
    ///   Untrusted: any bytes, any length. Nothing is allocated, unless it is a long spelling of `[::1]`.
    package static func matches(_ text: Substring.UTF8View) -> Bool {
        if text.first == UInt8(ascii: "[") {
            guard let end = text.firstIndex(of: UInt8(ascii: "]")) else { return false }
            return self.isPort(text[text.index(after: end)...]) && self.isV6(text[text.index(after: text.startIndex)..<end])
        }
        let end = text.firstIndex(of: UInt8(ascii: ":")) ?? text.endIndex
        return self.isPort(text[end...]) && (self.isV4(text[..<end]) || self.isName(text[..<end]))
    }

    /// Nothing, or a colon and digits.
    private static func isPort(_ text: Substring.UTF8View) -> Bool {
        guard let first = text.first else { return true }
        return first == UInt8(ascii: ":") && text.dropFirst().allSatisfy { self.isDigit($0) }
    }

    private static func isV6(_ text: Substring.UTF8View) -> Bool {
        if text.elementsEqual("::1".utf8) { return true }
        guard text.contains(UInt8(ascii: ":")) else { return false }
        return ClientAddress(parsing: Substring(text))?.isLoopback == true
    }

    /// Four decimal numbers without leading zeros, as browsers write them (WHATWG URL §3.6); the first is 127.
    private static func isV4(_ text: Substring.UTF8View) -> Bool {
        var (dots, digits, value) = (0, 0, 0)
        for byte in text {
            if byte == self.dot {
                guard digits > 0, dots > 0 || value == 127 else { return false }
                (dots, digits, value) = (dots + 1, 0, 0)
            } else {
                guard self.isDigit(byte), digits == 0 || value > 0 else { return false }
                (digits, value) = (digits + 1, value * 10 + Int(byte - UInt8(ascii: "0")))
                guard value <= 255 else { return false }
            }
        }
        return dots == 3 && digits > 0
    }

    /// `localhost`, or labels before it; upper case and the dot of the root make no difference.
    private static func isName(_ text: Substring.UTF8View) -> Bool {
        let text = text.last == self.dot ? text.dropLast() : text
        let word = "localhost".utf8
        guard text.suffix(word.count).elementsEqual(word, by: { $0 | 0x20 == $1 }) else { return false }
        var previous = self.dot
        for byte in text.dropLast(word.count) {
            guard byte == self.dot ? previous != self.dot : self.isLabel(byte) else { return false }
            previous = byte
        }
        return previous == self.dot
    }

    private static func isLabel(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: self.isDigit(byte)
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0") <= byte && byte <= UInt8(ascii: "9") }
}
