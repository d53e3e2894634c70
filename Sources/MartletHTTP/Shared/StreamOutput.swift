import MartletCore
import NIOCore

/// Queues a stream's bytes within a turn and knows what the socket has not taken.
struct StreamOutput {
    /// How long a client that does not read keeps a connection that is to end.
    private static let finishTimeout = TimeAmount.seconds(5)

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

    /// Writes what is queued in one piece.
    ///
    /// - Parameter took: called once the socket has taken everything, if it did not at once.
    /// - Returns: whether it has taken everything.
    mutating func flush(_ context: ChannelHandlerContext, took: @escaping () -> Void) -> Bool {
        if let pending = self.pending {
            self.pending = nil
            context.writeAndFlush(NIOAny(pending), promise: nil)
        }
        if Self.unread(context.channel) == 0 { return true }
        if !self.isWaiting {
            self.isWaiting = true
            let promise = context.eventLoop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenSuccess { took() }
            context.writeAndFlush(NIOAny(ByteBuffer()), promise: promise)
        }
        return false
    }

    /// Bytes that the socket has not taken.
    static func unread(_ channel: any Channel) -> Int {
        (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// The socket has taken everything that was written when the last flush could not.
    mutating func socketTook() { self.isWaiting = false }

    /// Writes what is queued, then ends the connection.
    mutating func finish(_ context: ChannelHandlerContext) {
        let promise = context.eventLoop.makePromise(of: Void.self)
        let timeout = context.eventLoop.assumeIsolated().scheduleTask(in: Self.finishTimeout) { context.close(promise: nil) }
        promise.futureResult.assumeIsolated().whenComplete { _ in
            timeout.cancel()
            context.close(promise: nil)
        }
        context.writeAndFlush(NIOAny(self.pending ?? ByteBuffer()), promise: promise)
        self.pending = nil
    }
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
