import NIOCore

/// Socket options of a stream.
enum StreamSocket {
    /// Bytes that the kernel may hold unsent, so that an urgent message is not stuck behind much else.
    private static let unsentBytes: Int = 16_384
    /// Bytes that NIO may hold before the socket counts as full: whether it is, is asked after each write, and this way the answer is one
    /// load from memory. Frames that are larger count as soon as they wait.
    private static let heldBytes = 4_096
    // linux/tcp.h; the platform's Swift overlay does not name them all.
    private static let tcpUserTimeout: CInt = 18
    private static let tcpNotSentLowat: CInt = 25

    /// Keeps the kernel's send buffer short, and ends half-open connections after twice the heartbeat interval.
    static func prepare(_ channel: any Channel, heartbeatMs: Int64) {
        guard let options = channel.syncOptions else { return }
        try? options.setOption(.writeBufferWaterMark, value: .init(low: 1, high: Self.heldBytes))
        #if os(Linux)
        // Without these the stream works, only less well: a failure is nothing to stop for.
        try? options.setOption(
            ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: Self.tcpNotSentLowat)), value: Self.unsentBytes)
        try? options.setOption(
            ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: Self.tcpUserTimeout)), value: Int(heartbeatMs * 2))
        #endif
    }
}
