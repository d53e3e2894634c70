import NIOCore

extension WebSocketEncoder {
    /// Appends a text frame whose payload is written in place, so that a message is copied once.
    ///
    /// - Parameter deflate: what it is compressed with, if that pays.
    static func text(into buffer: inout ByteBuffer, _ deflate: DeflateOutput? = nil, _ payload: (inout ByteBuffer) -> Void) {
        let start = buffer.writerIndex
        // Most messages have a header of four bytes.
        buffer.writeInteger(UInt32(0))
        payload(&buffer)
        let count = buffer.writerIndex - start - 4
        if let deflate, count >= deflate.leastBytes {
            let bytes = buffer.viewBytes(at: start + 4, length: count) ?? ByteBufferView()
            let isDone: Void? = deflate.withDeflated(bytes) { deflated in
                buffer.moveWriterIndex(to: start)
                self.header(.text, count: deflated.readableBytes, isDeflated: true, into: &buffer)
                buffer.writeImmutableBuffer(deflated)
            }
            if isDone != nil { return }
        }
        if (126...0xffff).contains(count) {
            buffer.setInteger(UInt32(0x81) << 24 | 126 << 16 | UInt32(count), at: start)
        } else {
            let bytes = buffer.getSlice(at: start + 4, length: count) ?? ByteBuffer()
            buffer.moveWriterIndex(to: start)
            self.frame(.text, bytes, into: &buffer)
        }
    }

    /// Appends a frame, compressed if that pays.
    static func frame(_ opcode: WebSocketOpcode, _ payload: ByteBuffer, _ deflate: DeflateOutput?, into buffer: inout ByteBuffer) {
        let isDone: Void? = deflate?.withDeflated(payload.readableBytesView) { deflated in
            self.header(opcode, count: deflated.readableBytes, isDeflated: true, into: &buffer)
            buffer.writeImmutableBuffer(deflated)
        }
        if isDone == nil { self.frame(opcode, payload, into: &buffer) }
    }
}
