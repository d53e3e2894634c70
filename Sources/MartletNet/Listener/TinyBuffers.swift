import NIOCore

/// Read buffers that start with 16 bytes and go on with 2 KiB.
///
/// NIO keeps the first read buffer of a channel for as long as it lives, so on an idle connection its size is what
/// counts: 16 bytes instead of 2 KiB (docs/performance.md).
struct TinyBuffers: RecvByteBufferAllocator {
    private var isFirst = true

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        allocator.buffer(capacity: self.isFirst ? 16 : 2_048)
    }

    mutating func record(actualReadBytes: Int) -> Bool {
        self.isFirst = false
        return true
    }
}
