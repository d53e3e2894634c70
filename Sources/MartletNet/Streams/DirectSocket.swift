package import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A connection's descriptor, to send on without NIO in between: that saves a third of what a delivery costs (docs/performance.md).
///
/// NIO closes a descriptor and tells so within one step of the loop, with nothing of ours in between; who is told lets go of this.
package struct DirectSocket: Sendable {
    private let descriptor: CInt

    package init(descriptor: CInt) { self.descriptor = descriptor }

    /// - Returns: nil if there is something between the pipeline and the socket, or no socket.
    package init?(of channel: any Channel) {
        // NIO's own way there casts to a constrained type, which the runtime does not remember: 3 µs for each connection.
        guard let core = channel as? any NIOTransportAccessibleChannelCore, let descriptor = Self.descriptor(of: core) else { return nil }
        self.descriptor = descriptor
    }

    private static func descriptor(of core: some NIOTransportAccessibleChannelCore) -> NIOBSDSocket.Handle? {
        (try? core.withUnsafeTransport { $0 as? NIOBSDSocket.Handle }) ?? nil
    }

    /// Never waits, and never raises a signal.
    ///
    /// - Returns: bytes that the socket took; 0 also if it failed.
    @inline(__always)
    package func send(_ buffer: ByteBuffer) -> Int {
        buffer.withUnsafeReadableBytes { bytes in
            #if canImport(Glibc)
            let count = Glibc.send(self.descriptor, bytes.baseAddress, bytes.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL))
            #else
            let count = Darwin.send(self.descriptor, bytes.baseAddress, bytes.count, MSG_DONTWAIT)
            #endif
            return max(0, count)
        }
    }
}

extension ByteBuffer {
    /// Without its first bytes.
    package func dropping(_ count: Int) -> ByteBuffer {
        var rest = self
        rest.moveReaderIndex(forwardBy: count)
        return rest
    }
}
