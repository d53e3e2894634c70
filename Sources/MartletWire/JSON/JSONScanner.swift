/// Walks JSON text (RFC 8259) without building anything. Strict: what it lets pass, every JSON parser can read.
///
/// **Beyond the grammar** it refuses invalid UTF-8, escaped surrogates without their other half (`"\ud800"`: such a
/// string has no Unicode text, and parsers disagree about it, RFC 8259 §8.2) and nesting deeper than `maxDepth`.
/// A byte order mark is refused as any other stray byte. Numbers may have any size.
///
/// Untrusted: any bytes. Every read is checked against `end`.
struct JSONScanner {
    let bytes: UnsafeRawBufferPointer
    let end: Int
    var index: Int
    let maxDepth: Int
    /// Whether the string scanned last holds a backslash.
    var sawEscape = false

    init(_ bytes: UnsafeRawBufferPointer, maxDepth: Int) {
        self.bytes = bytes
        self.end = bytes.count
        self.index = 0
        // The scanner recurses: a limit above this would trade a refusal for stack.
        self.maxDepth = min(maxDepth, 512)
    }

    func error(_ what: String, at offset: Int? = nil) -> WireError {
        WireError(.invalidJSON, "This is not valid JSON: \(what) at byte \(offset ?? self.index).")
    }

    @inline(__always)
    mutating func skipSpace() {
        while self.index < self.end {
            let byte = self.bytes[self.index]
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
            self.index += 1
        }
    }

    @inline(__always)
    mutating func take(_ byte: UInt8) -> Bool {
        guard self.index < self.end, self.bytes[self.index] == byte else { return false }
        self.index += 1
        return true
    }

    /// Scans one value; the index must be at its first byte.
    mutating func value(depth: Int) throws(WireError) -> JSONValue.Kind {
        guard self.index < self.end else { throw self.error("it ends where a value should start") }
        switch self.bytes[self.index] {
        case UInt8(ascii: "\""):
            try self.string()
            return .string
        case UInt8(ascii: "{"):
            try self.object(depth: depth) { (_, _) throws(WireError) in }
            return .object
        case UInt8(ascii: "["):
            try self.array(depth: depth) { _ in }
            return .array
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            try self.number()
            return .number
        case UInt8(ascii: "t"):
            try self.word("true")
            return .true
        case UInt8(ascii: "f"):
            try self.word("false")
            return .false
        case UInt8(ascii: "n"):
            try self.word("null")
            return .null
        default:
            throw self.error(self.foreign ?? "a value should start")
        }
    }

    /// What the text is instead of JSON, when its first bytes tell.
    private var foreign: String? {
        guard self.index == 0, self.end >= 2 else { return nil }
        return switch (self.bytes[0], self.bytes[1]) {
        case (0xef, 0xbb): "a byte order mark, which JSON does not have: send it without,"
        case (0xfe, 0xff), (0xff, 0xfe): "it is UTF-16, send UTF-8,"
        case (0x1f, 0x8b): "it is compressed with gzip, send it as it is,"
        default: nil
        }
    }

    /// Scans a value and says where it lies.
    @inline(__always)
    mutating func spannedValue(depth: Int) throws(WireError) -> JSONValue {
        let start = self.index
        self.sawEscape = false
        let kind = try self.value(depth: depth)
        return JSONValue(
            kind: kind, raw: UnsafeRawBufferPointer(rebasing: self.bytes[start..<self.index]),
            hasEscapes: kind == .string && self.sawEscape)
    }

    @inline(__always)
    mutating func object(
        depth: Int, _ member: (_ key: JSONValue, _ value: JSONValue) throws(WireError) -> Void
    ) throws(WireError) {
        try self.enter(depth)
        self.skipSpace()
        if self.take(UInt8(ascii: "}")) { return }
        while true {
            guard self.index < self.end, self.bytes[self.index] == UInt8(ascii: "\"") else {
                throw self.error("a member's name in double quotes should start")
            }
            let key = try self.spannedValue(depth: depth)
            self.skipSpace()
            guard self.take(UInt8(ascii: ":")) else { throw self.error("a colon is missing") }
            self.skipSpace()
            let value = try self.spannedValue(depth: depth + 1)
            try member(key, value)
            self.skipSpace()
            if self.take(UInt8(ascii: "}")) { return }
            guard self.take(UInt8(ascii: ",")) else { throw self.error("a comma or closing brace is missing") }
            self.skipSpace()
        }
    }

    @inline(__always)
    mutating func array(depth: Int, _ element: (JSONValue) -> Void) throws(WireError) {
        try self.enter(depth)
        self.skipSpace()
        if self.take(UInt8(ascii: "]")) { return }
        while true {
            element(try self.spannedValue(depth: depth + 1))
            self.skipSpace()
            if self.take(UInt8(ascii: "]")) { return }
            guard self.take(UInt8(ascii: ",")) else { throw self.error("a comma or closing bracket is missing") }
            self.skipSpace()
        }
    }

    private mutating func enter(_ depth: Int) throws(WireError) {
        guard depth <= self.maxDepth else {
            throw WireError(
                .badRequest,
                "The JSON nests arrays and objects deeper than \(self.maxDepth) levels at byte \(self.index).",
                limit: self.maxDepth)
        }
        self.index += 1
    }

    private mutating func word(_ word: StaticString) throws(WireError) {
        let length = word.utf8CodeUnitCount
        guard self.end - self.index >= length else { throw self.error("a value should start") }
        for offset in 0..<length where self.bytes[self.index + offset] != word.utf8Start[offset] {
            throw self.error("a value should start")
        }
        self.index += length
    }

    private mutating func number() throws(WireError) {
        _ = self.take(UInt8(ascii: "-"))
        if self.take(UInt8(ascii: "0")) {
            if self.index < self.end, isDigit(self.bytes[self.index]) {
                throw self.error("a number has a leading zero", at: self.index - 1)
            }
        } else {
            try self.digits()
        }
        if self.take(UInt8(ascii: ".")) { try self.digits() }
        if self.take(UInt8(ascii: "e")) || self.take(UInt8(ascii: "E")) {
            if !self.take(UInt8(ascii: "+")) { _ = self.take(UInt8(ascii: "-")) }
            try self.digits()
        }
    }

    private mutating func digits() throws(WireError) {
        let start = self.index
        while self.index < self.end, isDigit(self.bytes[self.index]) { self.index += 1 }
        guard self.index > start else { throw self.error("a digit is missing") }
    }
}

@inline(__always)
func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
