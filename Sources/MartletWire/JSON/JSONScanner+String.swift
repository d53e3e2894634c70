extension JSONScanner {
    /// Scans a string; the index must be at its opening quote.
    mutating func string() throws(WireError) {
        let start = self.index
        self.index += 1
        while true {
            self.skipPlain()
            guard self.index < self.end else { throw self.error("a string that starts here has no end;", at: start) }
            let byte = self.bytes[self.index]
            if byte == UInt8(ascii: "\"") {
                self.index += 1
                return
            }
            if byte == UInt8(ascii: "\\") {
                self.sawEscape = true
                try self.escape()
            } else if byte < 0x20 {
                throw self.error("a control character in a string must be escaped")
            } else {
                guard let length = UTF8Check.length(self.bytes, at: self.index) else {
                    throw self.error("a string is not UTF-8")
                }
                self.index += length
            }
        }
    }

    /// Goes on to the next quote, backslash, control character or byte outside ASCII; eight bytes at a time.
    @inline(__always)
    private mutating func skipPlain() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        while self.end - self.index >= 8 {
            let word = UInt64(littleEndian: self.bytes.loadUnaligned(fromByteOffset: self.index, as: UInt64.self))
            let quote = (word ^ ones &* 0x22) &- ones
            let backslash = (word ^ ones &* 0x5c) &- ones
            let control = word &- ones &* 0x20
            // A borrow can only raise a flag above a byte that is flagged itself, so the lowest flag is right.
            let found = (word | quote | backslash | control) & (ones &* 0x80)
            if found != 0 {
                self.index += found.trailingZeroBitCount / 8
                return
            }
            self.index += 8
        }
        while self.index < self.end {
            let byte = self.bytes[self.index]
            if byte < 0x20 || byte >= 0x80 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return }
            self.index += 1
        }
    }

    private mutating func escape() throws(WireError) {
        let start = self.index
        self.index += 1
        guard self.index < self.end else { throw self.error("a string ends in the middle of an escape") }
        switch self.bytes[self.index] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            self.index += 1
        case UInt8(ascii: "u"):
            self.index += 1
            let unit = try self.hexUnit(start)
            guard unit & 0xf800 == 0xd800 else { return }
            guard unit < 0xdc00, self.take(UInt8(ascii: "\\")), self.take(UInt8(ascii: "u")),
                try self.hexUnit(start) & 0xfc00 == 0xdc00
            else { throw self.error("an escaped surrogate has no other half", at: start) }
        default:
            throw self.error("a string holds an unknown escape", at: start)
        }
    }

    private mutating func hexUnit(_ start: Int) throws(WireError) -> UInt16 {
        guard self.end - self.index >= 4, let unit = jsonHexUnit(self.bytes, at: self.index) else {
            throw self.error("\\u needs four hexadecimal digits", at: start)
        }
        self.index += 4
        return unit
    }
}

/// Reads four hexadecimal digits; there must be four bytes.
func jsonHexUnit(_ bytes: UnsafeRawBufferPointer, at index: Int) -> UInt16? {
    var unit: UInt16 = 0
    for offset in 0..<4 {
        let byte = bytes[index + offset]
        let digit: UInt8
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
        default: return nil
        }
        unit = unit << 4 | UInt16(digit)
    }
    return unit
}
