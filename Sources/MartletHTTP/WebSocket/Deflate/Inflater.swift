import CZlib
import MartletWire
package import NIOCore

/// Decompresses a client's messages (RFC 7692 §7.2.2). Untrusted: any bytes.
///
/// One that keeps no context serves all connections of a loop: between messages it holds nothing of them.
package final class Inflater {
    private let bits: Int32
    private let keepsContext: Bool
    private let onMessage: (_ deflated: Int, _ plain: Int) -> Void
    /// On the heap: zlib remembers where it stands.
    private let stream: UnsafeMutablePointer<z_stream>
    private var isBegun = false

    /// - Parameters:
    ///   - bits: base-2 logarithm of the window, 8 to 15. zlib needs 2^bits bytes and 7 KB, from the first message on.
    ///   - keepsContext: whether a message may refer to those before it; then it belongs to one connection.
    ///   - onMessage: told the bytes of each message.
    package init(bits: Int32, keepsContext: Bool = false, onMessage: @escaping (_ deflated: Int, _ plain: Int) -> Void = { _, _ in }) {
        self.bits = bits
        self.keepsContext = keepsContext
        self.onMessage = onMessage
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
    }

    deinit {
        if self.isBegun { inflateEnd(self.stream) }
        self.stream.deallocate()
    }

    /// Bytes that a message may have on the wire: no form of one needs a sixteenth more than its content.
    package static func deflatedMost(_ messageBytes: Int) -> Int { messageBytes + messageBytes / 16 + 64 }

    /// - Parameters:
    ///   - message: a whole message, without the tail of a sync flush.
    ///   - limit: bytes that may come of it. It is stopped as soon as there are more.
    package func inflate(_ message: ByteBuffer, limit: Int) throws(WebSocketError) -> ByteBuffer {
        guard message.readableBytes > 0 else { return ByteBuffer() }
        guard self.begin() else { throw WebSocketError(.internalError, "a message could not be decompressed") }
        var plain = ByteBufferAllocator().buffer(capacity: min(limit, max(256, message.readableBytes * 4)))
        let status = message.withUnsafeReadableBytes { self.feed($0, limit: limit, into: &plain) }
        let end = status == Z_OK ? Deflater.tail.withUnsafeBytes { self.feed($0, limit: limit, into: &plain) } : status
        guard plain.readableBytes <= limit else { throw WebSocketError(.tooBig, "a message has more than \(limit) bytes") }
        // 128: stopped between two blocks. Within one, something is missing.
        guard end == Z_OK, self.stream.pointee.data_type & 128 != 0 else {
            throw WebSocketError(.invalidUTF8, "a message is not compressed as RFC 7692 says")
        }
        self.onMessage(message.readableBytes, plain.readableBytes)
        return plain
    }

    private func begin() -> Bool {
        if self.isBegun { return self.keepsContext || inflateReset(self.stream) == Z_OK }
        self.isBegun = inflateInit2_(self.stream, -self.bits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        return self.isBegun
    }

    /// Takes all of the input, or as much as makes one byte more than the limit.
    private func feed(_ input: UnsafeRawBufferPointer, limit: Int, into plain: inout ByteBuffer) -> CInt {
        // zlib does not write to its input.
        self.stream.pointee.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
        self.stream.pointee.avail_in = UInt32(clamping: input.count)
        defer { self.stream.pointee.next_in = nil }
        while plain.readableBytes <= limit {
            var status = Z_OK
            let most = limit + 1 - plain.readableBytes
            plain.writeWithUnsafeMutableBytes(minimumWritableBytes: min(most, max(256, plain.readableBytes))) { bytes in
                let room = min(bytes.count, most)
                self.stream.pointee.next_out = bytes.bindMemory(to: UInt8.self).baseAddress
                self.stream.pointee.avail_out = UInt32(clamping: room)
                status = CZlib.inflate(self.stream, Z_SYNC_FLUSH)
                return room - Int(self.stream.pointee.avail_out)
            }
            switch status {
            // The last block of a stream may end within a message; what follows begins another, with the same window (§7.2.3.4).
            case Z_STREAM_END: guard inflateResetKeep(self.stream) == Z_OK else { return Z_DATA_ERROR }
            case Z_OK, Z_BUF_ERROR: break
            default: return status
            }
            if self.stream.pointee.avail_in == 0, self.stream.pointee.avail_out > 0 { return Z_OK }
            // Neither more input nor more room would help.
            if status == Z_BUF_ERROR, self.stream.pointee.avail_out > 0 { return Z_DATA_ERROR }
        }
        return Z_OK
    }
}
