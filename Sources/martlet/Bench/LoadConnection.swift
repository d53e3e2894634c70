import NIOCore

/// The client's end of one stream: asks, and counts what comes.
final class LoadConnection: MemberConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The longest head of an answer, in bytes.
    private static let maxHead = 65_536

    let life: MemberLife
    var context: ChannelHandlerContext?
    // Of its life; kept here, as every message needs them.
    private let loop: LoadLoop
    private let member: Member
    private let target: BenchTarget
    /// Bytes of an event, a frame or a head that is not whole yet.
    private var rest: [UInt8] = []

    init(_ life: MemberLife, target: BenchTarget) {
        self.life = life
        self.loop = life.loop
        self.member = life.member
        self.target = target
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        guard context.channel.isActive else { return self.life.ended("the connection was reset") }
        var path = self.member.path
        if let cursor = self.member.cursor { path += (path.utf8.contains(UInt8(ascii: "?")) ? "&" : "?") + "cursor=" + cursor }
        let request = self.target.subscribeRequest(path)
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = self.unwrapInboundIn(data)
        let now = LoadLoop.now()
        self.loop.shot.counts.bytes += buffer.readableBytes
        if self.rest.isEmpty {
            buffer.withUnsafeReadableBytes { self.read($0, now, isKept: false) }
        } else {
            self.rest.append(contentsOf: buffer.readableBytesView)
            // Taken out, so that it is not shared while it is read.
            let all = self.rest
            self.rest = []
            all.withUnsafeBytes { self.read($0, now, isKept: true) }
        }
        if self.loop.behaviour.acks { self.ack(context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.life.ended(self.life.isOpen ? "the server ended the connection" : "the server ended the connection before it answered")
        context.fireChannelInactive()
    }

    // MARK: Reading

    private func read(_ bytes: UnsafeRawBufferPointer, _ now: UInt64, isKept: Bool) {
        var bytes = bytes
        if !self.life.isOpen {
            guard let body = self.readHead(bytes, now) else { return }
            bytes = UnsafeRawBufferPointer(rebasing: bytes[body...])
        }
        guard !bytes.isEmpty else { return }
        switch self.target.transport {
        case .sse: self.readEvents(bytes, now)
        case .ws, .grpc: self.readFrames(bytes, now)
        }
    }

    /// - Returns: where the body begins; nil if the head is not whole, or a refusal.
    private func readHead(_ bytes: UnsafeRawBufferPointer, _ now: UInt64) -> Int? {
        guard let end = Self.headEnd(bytes) else {
            if bytes.count > Self.maxHead {
                self.refuse("the server's answer has no end")
            } else {
                self.rest = Array(bytes)
            }
            return nil
        }
        let status = String(decoding: bytes.prefix(12).suffix(3), as: UTF8.self)
        guard status == (self.target.transport == .sse ? "200" : "101") else {
            let body = String(decoding: bytes[end...].prefix(300), as: UTF8.self)
            self.refuse("the server answered \(status)\(body.isEmpty ? "" : ": \(body.filter { $0 != "\n" && $0 != "\r" })")")
            return nil
        }
        self.opened(now)
        return end
    }

    private static func headEnd(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4) where bytes[index] == 0x0d {
            if bytes[index + 1] == 0x0a, bytes[index + 2] == 0x0d, bytes[index + 3] == 0x0a { return index + 4 }
        }
        return nil
    }

    /// Server-sent events. Chunk headers, where a server sends some, are in nobody's way: they never stand within an event's line.
    private func readEvents(_ bytes: UnsafeRawBufferPointer, _ now: UInt64) {
        var end = bytes.count
        while end >= 2, bytes[end - 1] != 0x0a || bytes[end - 2] != 0x0a { end -= 1 }
        if end < 2 { end = 0 }
        if end > 0 { self.take(UnsafeRawBufferPointer(rebasing: bytes[..<end]), now) }
        // What ends a chunk is no beginning of an event.
        let left = bytes[end...]
        if !left.isEmpty, !left.allSatisfy({ $0 == 0x0d || $0 == 0x0a }) { self.rest = Array(left) }
    }

    private func readFrames(_ bytes: UnsafeRawBufferPointer, _ now: UInt64) {
        var at = 0
        while bytes.count - at >= 2 {
            var header = 2
            var length = Int(bytes[at + 1] & 0x7f)
            if length >= 126 {
                let size = length == 126 ? 2 : 8
                guard bytes.count - at >= 2 + size else { break }
                length = bytes[(at + 2)..<(at + 2 + size)].reduce(0) { $0 << 8 | Int($1) }
                header += size
            }
            guard length >= 0, bytes.count - at - header >= length else { break }
            let payload = UnsafeRawBufferPointer(rebasing: bytes[(at + header)..<(at + header + length)])
            switch bytes[at] & 0x0f {
            case 0x8: self.noteClose(payload)
            case 0x9: self.send(opcode: 0xa, Array(payload))
            case 0xa: break
            default: self.take(payload, now)
            }
            at += header + length
        }
        if at < bytes.count { self.rest = Array(bytes[at...]) }
    }

    private func noteClose(_ payload: UnsafeRawBufferPointer) {
        guard payload.count >= 2 else { return }
        self.loop.shot.counts.note(
            "the server closed with \(Int(payload[0]) << 8 | Int(payload[1])) \(String(decoding: payload.dropFirst(2), as: UTF8.self))")
    }

    /// Counts what whole events, or one frame, hold.
    private func take(_ text: UnsafeRawBufferPointer, _ now: UInt64) {
        self.member.count(text, now, on: self.loop)
        if self.loop.behaviour.keepsCursor { self.keepCursor(text) }
    }

    private func keepCursor(_ text: UnsafeRawBufferPointer) {
        let isSSE = self.target.transport == .sse
        if let cursor = isSSE ? Self.last("id: ", in: text, until: 0x0a) : Self.last("\"cursor\":\"", in: text, until: 0x22) {
            self.member.cursor = cursor
        }
        if Self.last(isSSE ? "event: ga" : "{\"ga", in: text, until: UInt8(ascii: "p")) != nil { self.loop.shot.counts.gaps += 1 }
    }

    /// What follows the last `name`, up to `end`.
    private static func last(_ name: StaticString, in text: UnsafeRawBufferPointer, until end: UInt8) -> String? {
        let count = name.utf8CodeUnitCount
        guard text.count > count else { return nil }
        let name = UnsafeRawBufferPointer(start: name.utf8Start, count: count)
        for start in stride(from: text.count - count, through: 0, by: -1) where text[start] == name[0] {
            guard text[start..<(start + count)].elementsEqual(name) else { continue }
            guard let stop = text[(start + count)...].firstIndex(of: end) else { return nil }
            return String(decoding: text[(start + count)..<stop], as: UTF8.self)
        }
        return nil
    }

    // MARK: WebSocket

    /// Says that all that came is handled. Numbers of a session start with 1 and have no holes.
    private func ack(_ context: ChannelHandlerContext) {
        let count = self.member.inbox.distinct
        guard count > self.acked else { return }
        self.acked = count
        self.send(opcode: 0x1, Array(#"{"ack":\#(count)}"#.utf8))
    }

    private var acked = 0

    /// A masked frame of at most 125 bytes; the mask is zero.
    private func send(opcode: UInt8, _ payload: [UInt8]) {
        guard let context = self.context, payload.count <= 125 else { return }
        var buffer = context.channel.allocator.buffer(capacity: payload.count + 6)
        buffer.writeBytes([0x80 | opcode, 0x80 | UInt8(payload.count), 0, 0, 0, 0])
        buffer.writeBytes(payload)
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }
}
