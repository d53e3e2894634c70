package import NIOCore

/// Queues a stream's bytes within a turn and knows what the socket has not taken.
///
/// What many connections get is kept by reference and written as it is, unless something else of the turn stands beside it.
///
/// It never writes through NIO itself: a write that fails has NIO read what is left and close the channel before it returns, and
/// those callbacks queue bytes too. ``StreamConnection`` writes what this holds.
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
    package private(set) var isWaiting = false
    /// Pieces that NIO was given because the socket did not take them.
    private var behind: Int32 = 0
    /// Where ``send()`` writes.
    private var socket: DirectSocket?

    /// Shared bytes up to this many are copied when something else stands beside them: one write costs more.
    package static let copiedMost = 4_096

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

    // MARK: Past NIO

    /// From now on ``send()`` writes to this descriptor, as long as NIO has nothing of the connection's.
    package mutating func sendDirectly(to socket: DirectSocket?) { self.socket = socket }

    /// Whether ``send()`` may be called: NIO has nothing that must go first.
    @inline(__always)
    package var isDirect: Bool { self.socket != nil && self.behind == 0 }

    /// Whether NIO's own word on the socket counts.
    @inline(__always)
    package var isThroughNIO: Bool { self.socket == nil }

    /// Sends what is queued, past NIO.
    ///
    /// - Returns: whether the socket has taken everything. The rest is left in the queue, for NIO, which also finds out about errors.
    package mutating func send() -> Bool {
        guard let socket = self.socket, self.earlier.isEmpty else { return false }
        let rest: ByteBuffer
        switch self.pending {
        case .nothing: return true
        case .shared(let frame):
            let count = socket.send(frame.bytes)
            if count == frame.bytes.readableBytes {
                self.pending = .nothing
                return true
            }
            rest = frame.bytes.dropping(count)
        case .own(let buffer):
            let count = socket.send(buffer)
            if count == buffer.readableBytes {
                self.pending = .nothing
                return true
            }
            rest = buffer.dropping(count)
        }
        self.pending = .own(rest)
        return false
    }

    /// NIO was given the rest, and tells when the socket has taken it.
    package mutating func handedOver() { self.behind += 1 }

    /// - Returns: whether nothing is left of what NIO was given.
    package mutating func tookHandedOver() -> Bool {
        self.behind -= 1
        return self.behind == 0
    }

    // MARK: Waiting

    /// Somebody waits for the socket from now on.
    package mutating func startWaiting() { self.isWaiting = true }

    /// Bytes that the socket has not taken. Asking costs more than a write: only where it matters.
    package static func unread(_ channel: any Channel) -> Int {
        channel.isWithinConnection ? 0 : (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// The socket has taken everything that was written when the last flush could not.
    package mutating func socketTook() { self.isWaiting = false }
}
