package import NIOCore

/// `grpc-timeout`: at most eight digits and a unit.
package enum GRPCTimeout {
    /// The longest that is kept: what is longer never passes while the process runs.
    private static let most = TimeAmount.hours(24 * 365)

    /// - Parameter text: untrusted.
    /// - Returns: nil if it is none.
    package static func parse(_ text: String) -> TimeAmount? {
        let digits = text.utf8.dropLast()
        guard let unit = text.utf8.last, (1...8).contains(digits.count) else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        let amount: TimeAmount? =
            switch unit {
            case UInt8(ascii: "n"): .nanoseconds(value)
            case UInt8(ascii: "u"): .microseconds(value)
            case UInt8(ascii: "m"): .milliseconds(value)
            case UInt8(ascii: "S"): .seconds(value)
            case UInt8(ascii: "M"): .minutes(min(value, 60 * 24 * 365))
            case UInt8(ascii: "H"): .hours(min(value, 24 * 365))
            default: nil
            }
        return amount.map { min($0, self.most) }
    }
}
