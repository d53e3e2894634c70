import MartletCore
package import NIOCore

/// Queues a stream's bytes within a turn and knows what the socket has not taken.
///
/// What many connections get is kept by reference and written as it is, unless something else of the turn stands beside it.
///
/// It never writes itself: a write that fails has NIO read what is left and close the channel before it returns, and those
/// callbacks queue bytes too. ``StreamConnection`` writes what this holds.
package struct StreamOutput {
    private enum Pending {
        case nothing
        case shared(SharedFrame)
        case own(ByteBuffer)
    }

    private var pending = Pending.nothing
    /// What comes before ``pending`` and is too long to be copied.
    private var earlier: [ByteBuffer] = []
    /// The socket has not taken everything.
    private(set) var isWaiting = false

    /// Shared bytes up to this many are copied when something else stands beside them: one write costs more.
    static let copiedMost = 4_096

    package init() {}

    /// Appends to what the next flush writes.
    package mutating func append(_ capacity: Int, _ write: (inout ByteBuffer) -> Void) {
        var buffer = self.takeOwn(capacity)
        write(&buffer)
        self.pending = .own(buffer)
    }

    /// Appends what others get too.
    @inline(__always)
    package mutating func append(_ frame: SharedFrame) {
        if case .nothing = self.pending { self.pending = .shared(frame) } else { self.append(beside: frame) }
    }

    @inline(never)
    private mutating func append(beside frame: SharedFrame) {
        if case .shared(let other) = self.pending, let joined = frame.joined(after: other) {
            self.pending = .shared(joined)
            return
        }
        let count = frame.bytes.readableBytes
        guard count > Self.copiedMost else {
            var buffer = self.takeOwn(count)
            buffer.writeImmutableBuffer(frame.bytes)
            self.pending = .own(buffer)
            return
        }
        switch self.pending {
        case .nothing: break
        case .shared(let other): self.earlier.append(other.bytes)
        case .own(let buffer): self.earlier.append(buffer)
        }
        self.pending = .shared(frame)
    }

    /// Takes ``pending`` as a buffer that is nobody else's.
    private mutating func takeOwn(_ capacity: Int) -> ByteBuffer {
        let pending = self.pending
        // Gives up the other reference, so that the buffer grows in place.
        self.pending = .nothing
        switch pending {
        case .nothing: return ByteBufferAllocator().buffer(capacity: capacity)
        case .own(let buffer): return buffer
        case .shared(let frame):
            let count = frame.bytes.readableBytes
            guard count <= Self.copiedMost else {
                self.earlier.append(frame.bytes)
                return ByteBufferAllocator().buffer(capacity: capacity)
            }
            var buffer = ByteBufferAllocator().buffer(capacity: count + capacity)
            buffer.writeImmutableBuffer(frame.bytes)
            return buffer
        }
    }

    /// What is queued, for the caller to write: these first, then ``take()``.
    @inline(__always)
    package mutating func takeEarlier() -> [ByteBuffer]? {
        guard !self.earlier.isEmpty else { return nil }
        let earlier = self.earlier
        self.earlier = []
        return earlier
    }

    /// The last of what is queued; nil if nothing is.
    @inline(__always)
    package mutating func take() -> NIOAny? {
        let pending = self.pending
        self.pending = .nothing
        switch pending {
        case .nothing: return nil
        case .shared(let frame): return frame.outbound
        case .own(let buffer): return NIOAny(buffer)
        }
    }

    /// Somebody waits for the socket from now on.
    mutating func startWaiting() { self.isWaiting = true }

    /// Bytes that the socket has not taken. Asking costs more than a write: only where it matters.
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
