import CZlib
package import NIOCore

/// Decompresses gzip (RFC 1952). Untrusted: any bytes. One serves all calls of a loop.
package final class Gunzip {
    /// On the heap: zlib remembers where it stands.
    private let stream: UnsafeMutablePointer<z_stream>
    private var isBegun = false

    package init() {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
    }

    deinit {
        if self.isBegun { inflateEnd(self.stream) }
        self.stream.deallocate()
    }

    /// - Parameter most: bytes that may come of it. It is stopped as soon as there are more.
    package func inflate(_ message: ByteBuffer, most: Int) throws(GRPCStatus) -> ByteBuffer {
        // An empty message is empty however it is said.
        guard message.readableBytes > 0 else { return ByteBuffer() }
        guard self.begin() else { throw GRPCStatus(.internal, "A message could not be decompressed.") }
        var plain = ByteBufferAllocator().buffer(capacity: min(most, max(256, message.readableBytes * 4)))
        let isWhole = message.withUnsafeReadableBytes { self.feed($0, most: most, into: &plain) }
        guard plain.readableBytes <= most else { throw GRPCFrameDecoder.tooLarge(most) }
        guard isWhole else { throw GRPCStatus(.internal, "A message is not what gzip makes (RFC 1952).") }
        return plain
    }

    private func begin() -> Bool {
        if self.isBegun { return inflateReset(self.stream) == Z_OK }
        // 15 bits of window, and a gzip header.
        self.isBegun = inflateInit2_(self.stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        return self.isBegun
    }

    /// Takes all of the input, or as much as makes one byte more than the limit.
    ///
    /// - Returns: whether it ended where the compressed data ends.
    private func feed(_ input: UnsafeRawBufferPointer, most: Int, into plain: inout ByteBuffer) -> Bool {
        // zlib does not write to its input.
        self.stream.pointee.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
        self.stream.pointee.avail_in = UInt32(clamping: input.count)
        defer { self.stream.pointee.next_in = nil }
        while plain.readableBytes <= most {
            var status = Z_OK
            let left = most + 1 - plain.readableBytes
            plain.writeWithUnsafeMutableBytes(minimumWritableBytes: min(left, max(256, plain.readableBytes))) { bytes in
                let room = min(bytes.count, left)
                self.stream.pointee.next_out = bytes.bindMemory(to: UInt8.self).baseAddress
                self.stream.pointee.avail_out = UInt32(clamping: room)
                status = CZlib.inflate(self.stream, Z_NO_FLUSH)
                return room - Int(self.stream.pointee.avail_out)
            }
            switch status {
            case Z_STREAM_END: return self.stream.pointee.avail_in == 0
            case Z_OK: break
            // More room helps only where there was none; more input never comes.
            case Z_BUF_ERROR where self.stream.pointee.avail_out == 0: break
            default: return false
            }
            if self.stream.pointee.avail_in == 0, self.stream.pointee.avail_out > 0 { return false }
        }
        return false
    }
}

/// Compresses messages with gzip. One serves all calls of a loop.
package final class Gzip {
    /// Messages below this many bytes go as they are: they would hardly get shorter.
    package static let least = 256
    /// zlib's fastest: messages are short.
    private static let level: Int32 = 1
    private static let memoryLevel: Int32 = 8

    private let stream: UnsafeMutablePointer<z_stream>
    private var isBegun = false

    package init() {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
    }

    deinit {
        if self.isBegun { deflateEnd(self.stream) }
        self.stream.deallocate()
    }

    /// - Returns: nil if it cannot be compressed (no memory), or gets no shorter.
    package func deflate(_ message: ByteBuffer) -> ByteBuffer? {
        guard message.readableBytes >= Self.least, self.begin() else { return nil }
        var output = ByteBufferAllocator().buffer(capacity: message.readableBytes)
        let isWhole = message.withUnsafeReadableBytes { input in
            self.stream.pointee.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
            self.stream.pointee.avail_in = UInt32(clamping: input.count)
            defer { self.stream.pointee.next_in = nil }
            var status = Z_OK
            output.writeWithUnsafeMutableBytes(minimumWritableBytes: input.count) { bytes in
                let room = input.count
                self.stream.pointee.next_out = bytes.bindMemory(to: UInt8.self).baseAddress
                self.stream.pointee.avail_out = UInt32(clamping: room)
                status = CZlib.deflate(self.stream, Z_FINISH)
                return room - Int(self.stream.pointee.avail_out)
            }
            return status == Z_STREAM_END
        }
        return isWhole ? output : nil
    }

    private func begin() -> Bool {
        if self.isBegun { return deflateReset(self.stream) == Z_OK }
        self.isBegun =
            deflateInit2_(
                self.stream, Self.level, Z_DEFLATED, 15 + 16, Self.memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)) == Z_OK
        return self.isBegun
    }
}
