import MartletCore
import NIOCore

/// Queues a stream's bytes within a turn and knows what the socket has not taken.
///
/// It never writes itself: a write that fails has NIO read what is left and close the channel before it returns, and those
/// callbacks queue bytes too. ``StreamConnection`` writes what this holds.
struct StreamOutput {
    private var pending: ByteBuffer?
    /// The socket has not taken everything.
    private(set) var isWaiting = false

    /// Appends to what the next flush writes.
    mutating func append(_ capacity: Int, _ write: (inout ByteBuffer) -> Void) {
        var buffer: ByteBuffer
        if let pending = self.pending {
            buffer = pending
            self.pending = nil
        } else {
            buffer = ByteBufferAllocator().buffer(capacity: capacity)
        }
        write(&buffer)
        self.pending = buffer
    }

    /// What is queued, for the caller to write.
    mutating func take() -> ByteBuffer? {
        let pending = self.pending
        self.pending = nil
        return pending
    }

    /// - Returns: false if somebody waits for the socket already.
    mutating func startWaiting() -> Bool {
        guard !self.isWaiting else { return false }
        self.isWaiting = true
        return true
    }

    /// Bytes that the socket has not taken.
    static func unread(_ channel: any Channel) -> Int {
        (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// The socket has taken everything that was written when the last flush could not.
    mutating func socketTook() { self.isWaiting = false }
}

/// Socket options of a stream.
enum StreamSocket {
    /// Bytes that the kernel may hold unsent, so that an urgent message is not stuck behind much else.
    private static let unsentBytes: Int = 16_384
    // linux/tcp.h; the platform's Swift overlay does not name them all.
    private static let tcpUserTimeout: CInt = 18
    private static let tcpNotSentLowat: CInt = 25

    /// Keeps the kernel's send buffer short, and ends half-open connections after twice the heartbeat interval.
    static func prepare(_ channel: any Channel, heartbeatMs: Int64) {
        #if os(Linux)
        guard let options = channel.syncOptions else { return }
        // Without these the stream works, only less well: a failure is nothing to stop for.
        try? options.setOption(
            ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: Self.tcpNotSentLowat)), value: Self.unsentBytes)
        try? options.setOption(
            ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: Self.tcpUserTimeout)), value: Int(heartbeatMs * 2))
        #endif
    }
}
