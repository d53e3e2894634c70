/// The id of a message: a UUID of version 7.
///
/// **Shape.** 16 bytes; as text the usual 36 characters in lowercase hex, `0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f60`.
///
/// **Order.** A store gives out ids that grow in commit order, so comparing two ids of one store compares
/// the order in which the messages were stored (RFC 9562 §6.2, method 1: a counter in the bits after the time).
///
/// **Source.** RFC 9562 §5.7.
public struct MessageID: Hashable, Comparable, Sendable {
    /// The first 8 bytes: 48 bits of Unix time in milliseconds, 4 of version, 12 of counter.
    public let high: UInt64
    /// The last 8 bytes: 2 bits of variant, 62 of counter or randomness.
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Builds an id of version 7.
    ///
    /// - Parameters:
    ///   - milliseconds: Unix time; only the low 48 bits are used.
    ///   - counter: 12 bits that order ids of one millisecond.
    ///   - random: 62 bits.
    public init(milliseconds: Int64, counter: UInt16, random: UInt64) {
        self.high = UInt64(truncatingIfNeeded: milliseconds) << 16 | 0x7000 | UInt64(counter & 0x0fff)
        self.low = 0x8000_0000_0000_0000 | random & 0x3fff_ffff_ffff_ffff
    }

    /// The time part, in milliseconds since 1970.
    public var milliseconds: Int64 { Int64(self.high >> 16) }

    public static func < (left: MessageID, right: MessageID) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }

    /// Parses the text form. Untrusted: any text, any length.
    ///
    /// - Returns: nil unless the text is 36 characters of hex and dashes in their places.
    public init?(_ text: some StringProtocol) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var digits = 0
        var index = 0
        for byte in text.utf8 {
            guard index < 36 else { return nil }
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
            } else {
                guard let value = hexValue(byte) else { return nil }
                if digits < 16 { high = high << 4 | value } else { low = low << 4 | value }
                digits += 1
            }
            index += 1
        }
        guard index == 36 else { return nil }
        self.init(high: high, low: low)
    }

    /// Appends the 36 characters of the text form.
    public func append(to bytes: inout [UInt8]) {
        var digit = 0
        for word in [self.high, self.low] {
            for shift in stride(from: 60, through: 0, by: -4) {
                if digit == 8 || digit == 12 || digit == 16 || digit == 20 { bytes.append(UInt8(ascii: "-")) }
                bytes.append(hexDigit(UInt8(truncatingIfNeeded: word >> UInt64(shift)) & 15))
                digit += 1
            }
        }
    }
}

extension MessageID: CustomStringConvertible {
    public var description: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(36)
        self.append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

@inline(__always)
private func hexValue(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
}

@inline(__always)
private func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
