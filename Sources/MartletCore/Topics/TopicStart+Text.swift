package import MartletWire

extension TopicStart {
    /// Most messages that can be asked for by their number.
    private static let lastMax = 1_000_000

    /// Reads `latest`, `earliest`, `last:10`, Unix time in milliseconds, or a time as RFC 3339 writes it (`2026-11-21T08:00:00Z`).
    /// Untrusted: any text.
    ///
    /// - Throws: `bad_request`.
    package init(parsing text: String) throws(WireError) {
        let isNumber = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        switch text {
        case "latest": self = .latest
        case "earliest": self = .earliest
        case _ where text.hasPrefix("last:"):
            let count = text.utf8.dropFirst(5)
            let isCount = !count.isEmpty && count.allSatisfy { (0x30...0x39).contains($0) }
            guard isCount, let number = Int(text.dropFirst(5)), number <= Self.lastMax else {
                throw WireError(
                    .badRequest, "'since' must be last:N with a number up to \(Self.lastMax).", limit: isCount ? Self.lastMax : nil)
            }
            self = .last(number)
        case _ where isNumber:
            guard let milliseconds = Int64(text) else { throw Self.shape }
            self = .time(milliseconds)
        default:
            guard let milliseconds = RFC3339.milliseconds(text) else { throw Self.shape }
            self = .time(milliseconds)
        }
    }

    private static let shape = WireError(
        .badRequest,
        "'since' must be latest, earliest, last:N, a time in milliseconds since 1970, or one such as 2026-11-21T08:00:00Z.")
}

/// Times as text (RFC 3339 §5.6).
enum RFC3339 {
    /// Unix time in milliseconds, from 1970 on; nil for text that is no such time. Digits after the milliseconds do not count.
    static func milliseconds(_ text: String) -> Int64? {
        var text = Array(text.utf8)[...]
        guard let year = self.number(&text, 4), self.take("-", &text), let month = self.number(&text, 2), self.take("-", &text),
            let day = self.number(&text, 2), self.take("Tt ", &text), let hour = self.number(&text, 2), self.take(":", &text),
            let minute = self.number(&text, 2), self.take(":", &text), let second = self.number(&text, 2)
        else { return nil }
        let isLeap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
        guard year >= 1970, (1...12).contains(month), hour < 24, minute < 60, second <= 60 else { return nil }
        let length = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Int(month) - 1]
        guard (1...length).contains(Int(day)), let fraction = self.fraction(&text), let zone = self.zone(&text), text.isEmpty else {
            return nil
        }
        let seconds = self.days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - zone
        let milliseconds = seconds * 1_000 + fraction
        return milliseconds >= 0 ? milliseconds : nil
    }

    /// Days from 1970 to a date in the Gregorian calendar, with years that begin in March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month > 2 ? year : year - 1
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return year * 365 + year / 4 - year / 100 + year / 400 + dayOfYear - 719_468
    }

    private static func number(_ text: inout ArraySlice<UInt8>, _ digits: Int) -> Int64? {
        guard text.count >= digits else { return nil }
        var value: Int64 = 0
        for byte in text.prefix(digits) {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        text.removeFirst(digits)
        return value
    }

    private static func take(_ characters: StaticString, _ text: inout ArraySlice<UInt8>) -> Bool {
        guard let byte = text.first, characters.withUTF8Buffer({ $0.contains(byte) }) else { return false }
        text.removeFirst()
        return true
    }

    /// `.123`, in milliseconds; 0 if there is none.
    private static func fraction(_ text: inout ArraySlice<UInt8>) -> Int64? {
        guard self.take(".", &text) else { return 0 }
        let digits = text.prefix { (0x30...0x39).contains($0) }
        guard !digits.isEmpty else { return nil }
        text.removeFirst(digits.count)
        var value: Int64 = 0
        for place in 0..<3 { value = value * 10 + (place < digits.count ? Int64(digits[digits.startIndex + place] - 0x30) : 0) }
        return value
    }

    /// `Z` or `+02:00`, in seconds.
    private static func zone(_ text: inout ArraySlice<UInt8>) -> Int64? {
        if self.take("Zz", &text) { return 0 }
        let isWest = text.first == UInt8(ascii: "-")
        // In a URL's query a + is a space.
        guard self.take("+- ", &text), let hour = self.number(&text, 2), self.take(":", &text), let minute = self.number(&text, 2),
            hour < 24, minute < 60
        else { return nil }
        return (hour * 3_600 + minute * 60) * (isWest ? -1 : 1)
    }
}
