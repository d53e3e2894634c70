package import NIOCore

/// Text as a string of JavaScript that may stand anywhere in a script, be it a file or a part of an HTML page.
///
/// JSON goes to pages this way, as a text that they parse, and not as an expression: as an expression a member `__proto__` would set the
/// prototype, and two of them would be a syntax error, which loses the call.
package enum ScriptText {
    /// Appends a string with its quotes. Everything that ends the string, the script or a line is escaped: quotes, backslashes, control
    /// characters, `<`, `>`, `&`, U+2028 and U+2029.
    ///
    /// - Parameter text: UTF-8.
    package static func append(_ text: ByteBuffer, into buffer: inout ByteBuffer) {
        buffer.reserveCapacity(minimumWritableBytes: text.readableBytes + text.readableBytes / 4 + 2)
        buffer.writeInteger(UInt8(ascii: "\""))
        text.withUnsafeReadableBytes { bytes in
            var start = 0
            var index = 0
            while index < bytes.count {
                let (escape, length) = Self.escape(bytes, at: index)
                if let escape {
                    buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
                    escape.write(into: &buffer)
                    start = index + length
                }
                index += length
            }
            buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
        buffer.writeInteger(UInt8(ascii: "\""))
    }

    private enum Escape {
        case backslash(UInt8)
        case unit(UInt16)

        func write(into buffer: inout ByteBuffer) {
            switch self {
            case .backslash(let byte): buffer.writeInteger(UInt16(UInt8(ascii: "\\")) << 8 | UInt16(byte))
            case .unit(let unit):
                buffer.writeStaticString("\\u")
                for shift in [12, 8, 4, 0] {
                    let digit = UInt8(truncatingIfNeeded: unit >> UInt16(shift)) & 15
                    buffer.writeInteger(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
                }
            }
        }
    }

    /// How the character at an index is written, if not as it is, and its bytes.
    @inline(__always)
    private static func escape(_ bytes: UnsafeRawBufferPointer, at index: Int) -> (Escape?, length: Int) {
        let byte = bytes[index]
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return (.backslash(byte), 1)
        case 0x0a: return (.backslash(UInt8(ascii: "n")), 1)
        case 0x0d: return (.backslash(UInt8(ascii: "r")), 1)
        case ..<0x20, 0x7f, UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"): return (.unit(UInt16(byte)), 1)
        // U+2028 and U+2029, which end a line in JavaScript of before 2019.
        case 0xe2 where index + 2 < bytes.count && bytes[index + 1] == 0x80 && bytes[index + 2] & 0xfe == 0xa8:
            return (.unit(0x2000 | UInt16(bytes[index + 2] & 0x3f)), 3)
        default: return (nil, 1)
        }
    }
}
