/// Formats the `Date` header (RFC 9110 §5.6.7), and remembers the last second's.
package struct HTTPDate {
    private var second: Int64 = -1
    private var text = ""

    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// - Parameter milliseconds: Unix time.
    mutating func header(at milliseconds: Int64) -> String {
        let second = milliseconds / 1_000
        if second != self.second {
            self.second = second
            self.text = Self.format(second)
        }
        return self.text
    }

    /// - Parameter second: Unix time in seconds, not negative.
    package static func format(_ second: Int64) -> String {
        let day = second / 86_400
        let rest = second % 86_400
        // Days to a date in the proleptic Gregorian calendar, with years that begin in March.
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * month + 2) / 5 + 1
        let monthIndex = Int(month < 10 ? month + 2 : month - 10)
        let year = yearOfEra + era * 400 + (monthIndex < 2 ? 1 : 0)
        return "\(Self.days[Int(day % 7)]), \(Self.two(dayOfMonth)) \(Self.months[monthIndex]) \(year) "
            + "\(Self.two(rest / 3_600)):\(Self.two(rest / 60 % 60)):\(Self.two(rest % 60)) GMT"
    }

    private static func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
