/// The dates of a URL's server.
package enum UpstreamDates {
    /// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
    ///
    /// - Parameters:
    ///   - text: untrusted.
    ///   - wallMs: Unix time in milliseconds.
    /// - Returns: milliseconds from now; nil if it says nothing.
    package static func retryAfterMs(_ text: String, wallMs: Int64) -> Int64? {
        if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            // What is longer than this says "much later" all the same.
            return (Int64(text.prefix(9)) ?? 0) * 1_000
        }
        return self.unixSeconds(text).map { max(0, $0 * 1_000 - wallMs) }
    }

    /// Whether nothing can have changed without another `Last-Modified`, which counts in seconds (RFC 9110 §8.8.2.2).
    ///
    /// - Parameters:
    ///   - date: the answer's `Date`; nil if it had none.
    ///   - wallMs: Unix time in milliseconds.
    package static func isSettled(lastModified: String, date: String?, wallMs: Int64) -> Bool {
        guard let modified = self.unixSeconds(lastModified) else { return false }
        return modified + 2 <= date.flatMap(self.unixSeconds) ?? (wallMs / 1_000)
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form of a date that is sent today (RFC 9110 §5.6.7).
    private static func unixSeconds(_ text: String) -> Int64? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let month = self.months.firstIndex(of: String(words[2])), let day = Int64(words[1]),
            let year = Int64(words[3]), (1...31).contains(day), (1970...9999).contains(year)
        else { return nil }
        let time = words[4].split(separator: ":").compactMap { Int64($0) }
        guard time.count == 3, (0...23).contains(time[0]), (0...59).contains(time[1]), (0...60).contains(time[2]) else { return nil }
        // Days since 1970 in the proleptic Gregorian calendar, with years that begin in March.
        let shifted = Int64(month) >= 2 ? year : year - 1
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * ((Int64(month) + 10) % 12) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + time[0] * 3_600 + time[1] * 60 + time[2]
    }
}
