/// One value of a JSON text that was checked: a view of its bytes, not a copy.
///
/// Valid only while the bytes it was read from are: inside the closure that lent them.
public struct JSONValue {
    public enum Kind: Sendable {
        case object, array, string, number, `true`, `false`, null
    }

    public let kind: Kind
    /// The value as it stands in the text, without the white space around it. Strings have their quotes.
    public let raw: UnsafeRawBufferPointer
    /// Whether it is a string with backslashes.
    let hasEscapes: Bool

    /// The text of a string, unescaped; nil if it is not a string.
    public var string: String? {
        guard let bytes = self.contents else { return nil }
        return self.hasEscapes
            ? String(decoding: Self.unescape(bytes), as: UTF8.self) : String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes between the quotes of a string without backslashes; nil for anything else.
    public var plainString: UnsafeRawBufferPointer? { self.hasEscapes ? nil : self.contents }

    private var contents: UnsafeRawBufferPointer? {
        guard self.kind == .string, self.raw.count >= 2 else { return nil }
        return UnsafeRawBufferPointer(rebasing: self.raw[1..<self.raw.count - 1])
    }

    /// Whether it is a string with just this text.
    public func equals(_ text: StaticString) -> Bool {
        if self.hasEscapes { return self.string == text.description }
        guard let bytes = self.contents, bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
        return true
    }

    /// The value of a whole number without exponent (7 and 7.0 are the same one); nil if it is none, negative, or above `UInt64.max`.
    public var unsigned: UInt64? {
        guard self.kind == .number else { return nil }
        var value: UInt64 = 0
        for (index, byte) in self.raw.enumerated() {
            if byte == UInt8(ascii: ".") {
                return self.raw[(index + 1)...].allSatisfy { $0 == UInt8(ascii: "0") } ? value : nil
            }
            guard isDigit(byte) else { return nil }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = shifted.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    /// The members of an object in their order, duplicates included; empty if it is not an object.
    public var members: [(key: JSONValue, value: JSONValue)] {
        guard self.kind == .object else { return [] }
        return (try? JSON.object(in: self.raw, maxDepth: .max)) ?? []
    }

    /// The elements of an array; empty if it is not an array.
    public var elements: [JSONValue] {
        guard self.kind == .array else { return [] }
        var result: [JSONValue] = []
        var scanner = JSONScanner(self.raw, maxDepth: .max)
        try? scanner.array(depth: 1) { result.append($0) }
        return result
    }

    /// Undoes escapes; the bytes were checked by the scanner.
    private static func unescape(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\\"), index < bytes.count else {
                output.append(byte)
                continue
            }
            let escaped = bytes[index]
            index += 1
            switch escaped {
            case UInt8(ascii: "b"): output.append(0x08)
            case UInt8(ascii: "f"): output.append(0x0c)
            case UInt8(ascii: "n"): output.append(0x0a)
            case UInt8(ascii: "r"): output.append(0x0d)
            case UInt8(ascii: "t"): output.append(0x09)
            case UInt8(ascii: "u"):
                var units: [UInt16] = []
                while units.count < 2, bytes.count - index >= 4, let unit = jsonHexUnit(bytes, at: index) {
                    units.append(unit)
                    index += 4
                    guard unit & 0xfc00 == 0xd800, bytes.count - index >= 6 else { break }
                    index += 2
                }
                output.append(contentsOf: String(decoding: units, as: UTF16.self).utf8)
            default: output.append(escaped)
            }
        }
        return output
    }
}
