/// Reading and writing JSON (RFC 8259) as bytes.
public enum JSON {
    /// Checks a text and returns its value.
    ///
    /// - Parameters:
    ///   - bytes: untrusted, any length.
    ///   - maxDepth: levels of arrays and objects that are allowed; at most 512.
    /// - Throws: ``WireError`` with `invalid_json` and the byte where it went wrong, or `bad_request` for nesting.
    public static func value(in bytes: UnsafeRawBufferPointer, maxDepth: Int) throws(WireError) -> JSONValue {
        var scanner = JSONScanner(bytes, maxDepth: maxDepth)
        scanner.skipSpace()
        let value = try scanner.spannedValue(depth: 1)
        try Self.finish(&scanner)
        return value
    }

    /// Checks a text that must be an object, and returns its members in their order, duplicates included.
    ///
    /// - Parameters and errors: as with ``value(in:maxDepth:)``; `bad_request` if it is valid but not an object.
    public static func object(
        in bytes: UnsafeRawBufferPointer, maxDepth: Int
    ) throws(WireError) -> [(key: JSONValue, value: JSONValue)] {
        var scanner = JSONScanner(bytes, maxDepth: maxDepth)
        scanner.skipSpace()
        guard scanner.index < scanner.end, bytes[scanner.index] == UInt8(ascii: "{") else {
            _ = try Self.value(in: bytes, maxDepth: maxDepth)
            throw WireError(.badRequest, "The JSON must be an object: {…}.")
        }
        var members: [(key: JSONValue, value: JSONValue)] = []
        members.reserveCapacity(8)
        try scanner.object(depth: 1) { (key, value) throws(WireError) in members.append((key, value)) }
        try Self.finish(&scanner)
        return members
    }

    private static func finish(_ scanner: inout JSONScanner) throws(WireError) {
        scanner.skipSpace()
        guard scanner.index == scanner.end else { throw scanner.error("something follows after the value") }
    }

    /// Appends a string with its quotes, escaping what must be (RFC 8259 §7).
    public static func append(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 { Self.append(escaping: byte, to: &output) }
        output.append(UInt8(ascii: "\""))
    }

    /// Appends a string with its quotes, from bytes that were checked to be UTF-8.
    public static func append(utf8 text: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        var start = 0
        for index in 0..<text.count {
            let byte = text[index]
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
            output.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start..<index]))
            Self.append(escaping: byte, to: &output)
            start = index + 1
        }
        output.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start...]))
        output.append(UInt8(ascii: "\""))
    }

    /// Appends one byte of UTF-8, escaped if a string needs it.
    @inline(__always)
    static func append(escaping byte: UInt8, to output: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            output.append(UInt8(ascii: "\\"))
            output.append(byte)
        case 0x20...: output.append(byte)
        case 0x0a: output.append(contentsOf: #"\n"#.utf8)
        case 0x0d: output.append(contentsOf: #"\r"#.utf8)
        case 0x09: output.append(contentsOf: #"\t"#.utf8)
        default:
            let hex = [UInt8]("0123456789abcdef".utf8)
            output.append(contentsOf: #"\u00"#.utf8)
            output.append(hex[Int(byte >> 4)])
            output.append(hex[Int(byte & 15)])
        }
    }
}

extension WireError {
    /// The body of an HTTP answer: `{"error":{"code":"…","message":"…","limit":N}}`.
    public var json: [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(64 + self.message.utf8.count)
        output.append(contentsOf: #"{"error":{"code":""#.utf8)
        output.append(contentsOf: self.code.rawValue.utf8)
        output.append(contentsOf: #"","message":"#.utf8)
        JSON.append(self.message, to: &output)
        if let limit = self.limit { output.append(contentsOf: #","limit":\#(limit)"#.utf8) }
        if let retry = self.retryAfterMs { output.append(contentsOf: #","retryAfterMs":\#(retry)"#.utf8) }
        output.append(contentsOf: "}}".utf8)
        return output
    }
}
