package import NIOCore

/// Bytes that are written to many connections of one loop as they are: encoded once, never copied.
package final class SharedFrame {
    package let bytes: ByteBuffer
    /// The same, ready to be written.
    package let outbound: NIOAny
    /// What stood before this in a connection's turn, and both in one piece: the next connection with the same finds it here.
    private var before: SharedFrame?
    private var joined: SharedFrame?
    private var tail: SharedFrame?

    /// Longest piece that frames are joined to, in bytes.
    private static let joinedMost = 32_768

    package init(_ bytes: ByteBuffer) {
        self.bytes = bytes
        self.outbound = NIOAny(bytes)
    }

    /// The last `count` bytes, not copied; always the same count.
    package func tail(_ count: Int) -> SharedFrame {
        if let tail = self.tail { return tail }
        let tail = SharedFrame(self.bytes.getSlice(at: self.bytes.writerIndex - count, length: count) ?? self.bytes)
        self.tail = tail
        return tail
    }

    /// This after another, in one piece.
    ///
    /// - Returns: nil if it would be too long, or if others have had something else before it.
    func joined(after other: SharedFrame) -> SharedFrame? {
        if let before = self.before { return before === other ? self.joined : nil }
        let count = other.bytes.readableBytes + self.bytes.readableBytes
        guard count <= Self.joinedMost else { return nil }
        var bytes = ByteBufferAllocator().buffer(capacity: count)
        bytes.writeImmutableBuffer(other.bytes)
        bytes.writeImmutableBuffer(self.bytes)
        let joined = SharedFrame(bytes)
        self.before = other
        self.joined = joined
        return joined
    }
}
