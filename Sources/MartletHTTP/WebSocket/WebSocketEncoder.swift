package import MartletWire
package import NIOCore

/// Writes a server's frames (RFC 6455): whole, unmasked.
package enum WebSocketEncoder {
    /// Appends a header; the payload of `count` bytes must follow.
    ///
    /// - Parameter isDeflated: whether it is compressed (RFC 7692 §6).
    package static func header(_ opcode: WebSocketOpcode, count: Int, isDeflated: Bool = false, into buffer: inout ByteBuffer) {
        let first = 0x80 | (isDeflated ? 0x40 : 0) | opcode.rawValue
        switch count {
        case ...125:
            buffer.writeInteger(UInt16(first) << 8 | UInt16(max(0, count)))
        case ...0xffff:
            buffer.writeInteger(UInt32(first) << 24 | 126 << 16 | UInt32(count))
        default:
            buffer.writeInteger(UInt16(first) << 8 | 127)
            buffer.writeInteger(UInt64(count))
        }
    }

    /// Bytes of the header of a frame with such a payload.
    static func headerLength(_ count: Int) -> Int { count <= 125 ? 2 : count <= 0xffff ? 4 : 10 }

    /// Appends a frame with a payload that is there already. Control frames must have at most 125 bytes.
    package static func frame(_ opcode: WebSocketOpcode, _ payload: ByteBuffer, into buffer: inout ByteBuffer) {
        self.header(opcode, count: payload.readableBytes, into: &buffer)
        buffer.writeImmutableBuffer(payload)
    }

    package static func text(_ payload: some Collection<UInt8>, into buffer: inout ByteBuffer) {
        self.header(.text, count: payload.count, into: &buffer)
        buffer.writeBytes(payload)
    }

    /// The smallest frame: two bytes.
    package static func ping(into buffer: inout ByteBuffer) { self.header(.ping, count: 0, into: &buffer) }

    /// - Parameters:
    ///   - code: nil answers a close frame without a code.
    ///   - reason: cut to 123 bytes, at a character's end.
    package static func close(_ code: UInt16?, reason: String = "", into buffer: inout ByteBuffer) {
        guard let code else { return self.header(.close, count: 0, into: &buffer) }
        var text = reason.utf8[...]
        while text.count > 123 { text = text.dropLast() }
        while !text.isEmpty, String(text) == nil { text = text.dropLast() }
        self.header(.close, count: 2 + text.count, into: &buffer)
        buffer.writeInteger(code)
        buffer.writeBytes(text)
    }

    package static func close(_ code: CloseCode, into buffer: inout ByteBuffer) {
        self.close(code.rawValue, reason: code.reason, into: &buffer)
    }
}
