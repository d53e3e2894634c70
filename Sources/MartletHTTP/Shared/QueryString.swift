/// The query of a request: percent-decoded names and values (WHATWG URL, application/x-www-form-urlencoded).
package struct QueryString: Equatable, Sendable {
    package private(set) var items: [(name: String, value: String)] = []

    /// Parameters looked at; more are ignored.
    package static let limit = 64

    /// Parses what follows the `?`. Untrusted: bytes that are not UTF-8 after decoding become U+FFFD.
    package init(_ text: Substring) {
        for pair in text.split(separator: "&", maxSplits: Self.limit, omittingEmptySubsequences: true).prefix(Self.limit) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? Self.decode(parts[1]) : ""
            self.items.append((Self.decode(parts[0]), value))
        }
    }

    /// The first value of a name.
    package subscript(name: String) -> String? { self.items.first { $0.name == name }?.value }

    /// `+` is a space; a `%` without two hex digits stands for itself.
    static func decode(_ text: Substring, plusIsSpace: Bool = true) -> String {
        let bytes = Array(text.utf8)
        guard bytes.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return String(text) }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "%"), index + 2 < bytes.count, let high = Self.hex(bytes[index + 1]),
                let low = Self.hex(bytes[index + 2])
            {
                output.append(high << 4 | low)
                index += 3
            } else {
                output.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
                index += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Whether each `%` is followed by two hex digits.
    static func isEncoded(_ text: Substring) -> Bool {
        let bytes = Array(text.utf8)
        return bytes.indices.allSatisfy { index in
            bytes[index] != UInt8(ascii: "%")
                || index + 2 < bytes.count && self.hex(bytes[index + 1]) != nil && self.hex(bytes[index + 2]) != nil
        }
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    package static func == (left: QueryString, right: QueryString) -> Bool {
        left.items.elementsEqual(right.items) { $0.name == $1.name && $0.value == $1.value }
    }
}
