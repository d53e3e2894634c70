import NIOCore

/// What all calls of a loop share: they need it one after the other. Confined to the loop.
final class GRPCLoop {
    let gunzip = Gunzip()
    let gzip = Gzip()
    /// Where a delivery is put together before its length is known.
    var scratch = ByteBufferAllocator().buffer(capacity: 4_096)

    /// Bytes of ``scratch`` that are kept.
    private static let keptMost = 262_144

    /// Lends an empty buffer.
    @inline(__always)
    func withScratch<Result>(_ body: (inout ByteBuffer) -> Result) -> Result {
        // Taken out, so that it is nobody else's and grows in place.
        var buffer = self.scratch
        self.scratch = ByteBuffer()
        buffer.clear()
        defer { self.scratch = buffer.capacity <= Self.keptMost ? buffer : ByteBufferAllocator().buffer(capacity: 4_096) }
        return body(&buffer)
    }
}
