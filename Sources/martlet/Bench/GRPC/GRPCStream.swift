import NIOCore
import NIOHPACK
import NIOHTTP2

/// The client's end of one `Push.Connect`: says hello, answers pings, acks if it is to, and counts what comes.
final class GRPCStream: MemberConnection {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    /// The longest message that is taken, in bytes.
    private static let maxMessage = 1 << 20

    let life: MemberLife
    var context: ChannelHandlerContext?
    // Of its life; kept here, as every message needs them.
    private let loop: LoadLoop
    private let member: Member
    private let target: BenchTarget
    /// Bytes of a message that is not whole yet.
    private var rest = ByteBuffer()
    /// The newest message that is to be acked.
    private var seq: UInt64 = 0
    private var acked: UInt64 = 0
    private var answers: [UInt8] = []

    init(_ life: MemberLife, target: BenchTarget) {
        self.life = life
        self.loop = life.loop
        self.member = life.member
        self.target = target
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        guard context.channel.isActive else { return }
        self.begin(context)
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        var headers: HPACKHeaders = [
            ":method": "POST", ":scheme": "http", ":path": "/martlet.v1.Push/Connect", ":authority": self.target.host,
            "content-type": "application/grpc", "te": "trailers",
        ]
        if let token = self.target.subscriberToken { headers.add(name: "authorization", value: "Bearer \(token)") }
        context.write(self.wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
        self.send(GRPCFrames.hello(self.member.path))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let now = LoadLoop.now()
        switch self.unwrapInboundIn(data) {
        case .data(let frame):
            guard case .byteBuffer(var bytes) = frame.data else { return }
            self.loop.shot.counts.bytes += bytes.readableBytes
            if self.rest.readableBytes == 0 { self.rest = bytes } else { self.rest.writeBuffer(&bytes) }
            self.readMessages(now)
        case .headers(let frame):
            guard frame.endStream else { return }
            let status = frame.headers.first(name: "grpc-status") ?? "none"
            self.life.ended("the call ended with status \(status): \(frame.headers.first(name: "grpc-message") ?? "")")
        case .rstStream(let code): self.life.ended("the stream was reset: \(code)")
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.loop.behaviour.acks, self.seq > self.acked {
            self.acked = self.seq
            self.answers += GRPCFrames.ack(upTo: self.seq)
        }
        guard !self.answers.isEmpty else { return }
        self.send(self.answers)
        self.answers.removeAll(keepingCapacity: true)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.life.ended(self.life.isOpen ? "the server ended the stream" : "the server ended the stream before it answered")
        context.fireChannelInactive()
    }

    private func send(_ bytes: [UInt8]) {
        self.context?.writeAndFlush(self.wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer(bytes: bytes))))), promise: nil)
    }

    // MARK: Messages

    private func readMessages(_ now: UInt64) {
        while let length = self.rest.getInteger(at: self.rest.readerIndex + 1, as: UInt32.self) {
            guard length <= Self.maxMessage else { return self.refuse("what came from the server is no gRPC") }
            guard self.rest.readableBytes >= 5 + Int(length) else { break }
            self.rest.moveReaderIndex(forwardBy: 5)
            guard let message = self.rest.readSlice(length: Int(length)) else { break }
            message.withUnsafeReadableBytes { bytes in
                if !GRPCFrames.read(bytes, { self.take($0, $1, now) }) { self.life.ended("what came from the server is no message of Martlet's") }
            }
        }
        if self.rest.readableBytes == 0 { self.rest = ByteBuffer() }
    }

    private func take(_ kind: GRPCFrames.Kind?, _ bytes: UnsafeRawBufferPointer, _ now: UInt64) {
        switch kind {
        case .welcome: self.opened(now)
        case .message:
            self.seq = max(self.seq, GRPCFrames.seq(of: bytes))
            self.member.count(bytes, now, on: self.loop)
        case .ping: self.answers += GRPCFrames.pong(bytes)
        case .gap: self.loop.shot.counts.gaps += 1
        case .error: self.loop.shot.counts.note(String(decoding: bytes.prefix(300), as: UTF8.self))
        default: break
        }
    }
}
