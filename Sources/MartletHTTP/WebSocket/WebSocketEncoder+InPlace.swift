import NIOCore

extension WebSocketEncoder {
    /// Appends a text frame whose payload is written in place, so that a message is copied once.
    static func text(into buffer: inout ByteBuffer, _ payload: (inout ByteBuffer) -> Void) {
        let start = buffer.writerIndex
        // Most messages have a header of four bytes.
        buffer.writeInteger(UInt32(0))
        payload(&buffer)
        let count = buffer.writerIndex - start - 4
        if (126...0xffff).contains(count) {
            buffer.setInteger(UInt32(0x81) << 24 | 126 << 16 | UInt32(count), at: start)
        } else {
            let bytes = buffer.getSlice(at: start + 4, length: count) ?? ByteBuffer()
            buffer.moveWriterIndex(to: start)
            self.frame(.text, bytes, into: &buffer)
        }
    }
}
