package import MartletCore
package import NIOCore

/// Options of sockets.
package enum StreamSocket {
    /// Bytes that the kernel may hold unsent, so that an urgent message is not stuck behind much else.
    private static let unsentBytes = 16_384
    /// Bytes that NIO may hold before the socket counts as full: whether it is, is asked after each write, and this way the answer is one
    /// load from memory. Frames that are larger count as soon as they wait.
    private static let heldBytes = 4_096

    /// What connections take over from the listener that accepts them, which costs them no calls.
    static func inherited(_ limits: Limits) -> [(ChannelOptions.Types.SocketOption, SocketOptionValue)] {
        #if os(Linux)
        [
            (Self.option(.tcp_nodelay), 1), (Self.option(Self.tcpNotSentLowat), SocketOptionValue(Self.unsentBytes)),
            (Self.option(Self.tcpUserTimeout), SocketOptionValue(limits.heartbeatMs * 2)),
        ]
        #else
        []
        #endif
    }

    /// Prepares a connection that becomes a stream. One that does not read ends after twice the heartbeat interval.
    ///
    /// - Parameter isDirect: whether NIO only gets what the socket does not take.
    package static func prepare(_ channel: any Channel, heartbeatMs: Int64, _ limits: Limits, isDirect: Bool) {
        guard !channel.isWithinConnection, let options = channel.syncOptions else { return }
        // Without these the stream works, only less well: a failure is nothing to stop for.
        if !isDirect { try? options.setOption(.writeBufferWaterMark, value: .init(low: 1, high: Self.heldBytes)) }
        #if os(Linux)
        guard heartbeatMs != limits.heartbeatMs else { return }
        try? options.setOption(Self.option(Self.tcpUserTimeout), value: SocketOptionValue(heartbeatMs * 2))
        #endif
    }

    #if os(Linux)
    /// `SO_REUSEPORT`: several listeners of one address share its connections (asm-generic/socket.h).
    static let sharedPort = ChannelOptions.Types.SocketOption(level: .socket, name: .init(rawValue: 15))

    // linux/tcp.h; the platform's Swift overlay does not name them all.
    private static let tcpUserTimeout = NIOBSDSocket.Option(rawValue: 18)
    private static let tcpNotSentLowat = NIOBSDSocket.Option(rawValue: 25)

    private static func option(_ name: NIOBSDSocket.Option) -> ChannelOptions.Types.SocketOption { .init(level: .tcp, name: name) }
    #endif
}

extension Channel {
    /// Whether it is a stream of a connection (HTTP/2): what contains it is itself a connection that a listener accepted. Such a channel
    /// has no options of sockets, and asking for them ends the process.
    package var isWithinConnection: Bool { self.parent?.parent != nil }
}
