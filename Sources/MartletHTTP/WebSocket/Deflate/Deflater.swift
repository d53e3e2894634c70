import CZlib
package import NIOCore

/// Compresses messages for permessage-deflate (RFC 7692 §7.2.1).
///
/// One that keeps no context serves all connections of a loop that agreed on its window; its messages stand each for itself.
package final class Deflater {
    /// Base-2 logarithm of the window, 9 to 15.
    package let bits: Int32
    /// Whether a message may refer to those before it. Then it belongs to one connection, and each message must be sent.
    package let keepsContext: Bool
    private let level: Int32
    private let memoryLevel: Int32
    /// On the heap: zlib remembers where it stands.
    private let stream: UnsafeMutablePointer<z_stream>
    private var isBegun = false

    /// What a sync flush ends with; not sent (RFC 7692 §7.2.1).
    static let tail: [UInt8] = [0, 0, 0xff, 0xff]
    /// zlib repeats the tail if it finds less room than this.
    private static let leastRoom = 64

    /// - Parameters:
    ///   - level: 1 (fastest) to 9.
    ///   - memoryLevel: zlib's, 1 to 9: it needs 2^(bits + 2) + 2^(memoryLevel + 9) bytes and 6 KB, from the first message on.
    package init(bits: Int32, keepsContext: Bool = false, level: Int32, memoryLevel: Int32) {
        self.bits = bits
        self.keepsContext = keepsContext
        self.level = level
        self.memoryLevel = memoryLevel
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
    }

    deinit {
        if self.isBegun { deflateEnd(self.stream) }
        self.stream.deallocate()
    }

    /// Appends a message's compressed form, without the tail.
    ///
    /// - Parameter message: not empty.
    /// - Returns: false if it cannot be compressed (no memory); nothing was appended, and it goes as it is.
    package func deflate(_ message: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) -> Bool {
        guard self.begin(), let start = message.bindMemory(to: UInt8.self).baseAddress else { return false }
        let first = buffer.writerIndex
        // zlib does not write to its input.
        self.stream.pointee.next_in = UnsafeMutablePointer(mutating: start)
        self.stream.pointee.avail_in = UInt32(clamping: message.count)
        defer { self.stream.pointee.next_in = nil }
        var room = max(Self.leastRoom, message.count / 3)
        while true {
            var status = Z_OK
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { bytes in
                self.stream.pointee.next_out = bytes.bindMemory(to: UInt8.self).baseAddress
                self.stream.pointee.avail_out = UInt32(clamping: bytes.count)
                status = CZlib.deflate(self.stream, Z_SYNC_FLUSH)
                return bytes.count - Int(self.stream.pointee.avail_out)
            }
            guard status == Z_OK || status == Z_BUF_ERROR else {
                buffer.moveWriterIndex(to: first)
                return false
            }
            if self.stream.pointee.avail_out > 0 { break }
            room *= 2
        }
        buffer.moveWriterIndex(to: max(first, buffer.writerIndex - Self.tail.count))
        return true
    }

    private func begin() -> Bool {
        if self.isBegun { return self.keepsContext || deflateReset(self.stream) == Z_OK }
        self.isBegun =
            deflateInit2_(
                self.stream, self.level, Z_DEFLATED, -self.bits, self.memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)) == Z_OK
        return self.isBegun
    }
}
