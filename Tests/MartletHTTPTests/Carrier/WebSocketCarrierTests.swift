import Logging
import MartletCore
import MartletHTTP
import MartletNet
import MartletWire
import NIOCore
import NIOEmbedded
import Testing

/// Another protocol's bytes in binary messages, without the request that asks for it.
@Suite("A WebSocket that carries another protocol")
struct WebSocketCarrierTests {
    private let echo = EchoService()
    private let channel: EmbeddedChannel
    private let loops: NetLoops
    private let edge: NetEdge
    private let carrier: WebSocketCarrier

    init() throws { try self.init(nil) }

    private init(_ service: (any ByteStreamService)?) throws {
        self.channel = EmbeddedChannel()
        self.loops = NetLoops([self.channel.eventLoop])
        self.edge = try NetEdge(limits: Limits(), openFiles: 1_000, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(self.edge.gate.enter())
        self.carrier = WebSocketCarrier(
            service ?? self.echo, answer: [("Upgrade", "websocket")], messageBytes: 10_000, state: self.loops.states[0],
            peer: Peer(edge: self.edge, address: nil), credential: "secret")
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try self.channel.pipeline.syncOperations.addHandler(self.carrier)
    }

    /// Answers the handshake; the answer is taken.
    private func begin() throws {
        self.carrier.begin()
        let answer = try #require(try self.channel.readOutbound(as: ByteBuffer.self))
        #expect(String(buffer: answer) == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    }

    private func send(_ bytes: [UInt8]) throws { try self.channel.writeInbound(ByteBuffer(bytes: bytes)) }

    private func frames() throws -> [ServerFrame] { ServerFrame.all(in: try self.channel.written()) }

    private static let binary: UInt8 = 2

    @Test("sends what came as bytes, and answers as messages")
    func echoes() throws {
        try self.begin()
        try self.send(WebSocketDecoderTests.frame(Self.binary, Array("hello".utf8)))
        #expect(try self.frames() == [ServerFrame(2, "hello")])
        #expect(self.echo.log.credentials == ["secret"])
        #expect(self.loops.states[0].count == 1 && self.edge.gate.count == 1)
    }

    @Test("takes messages that are cut and joined anywhere", arguments: [1, 2, 3, 7, 1_000])
    func pieces(_ size: Int) throws {
        try self.begin()
        let stream: [UInt8] = [
            WebSocketDecoderTests.frame(Self.binary, [1]), WebSocketDecoderTests.frame(Self.binary, [2, 3], final: false),
            WebSocketDecoderTests.frame(9, Array("p".utf8)), WebSocketDecoderTests.frame(0, [], final: false),
            WebSocketDecoderTests.frame(0, [4]), WebSocketDecoderTests.frame(Self.binary, []), WebSocketDecoderTests.frame(Self.binary, [5, 6]),
        ].flatMap { $0 }
        for start in stride(from: 0, to: stream.count, by: size) { try self.send(Array(stream.dropFirst(start).prefix(size))) }
        #expect(self.echo.log.read == [1, 2, 3, 4, 5, 6])
        let frames = try self.frames()
        #expect(frames.filter { $0.opcode == 2 }.flatMap(\.payload) == [1, 2, 3, 4, 5, 6])
        #expect(frames.filter { $0.opcode != 2 } == [ServerFrame(10, "p")])
    }

    @Test("holds what comes before its answer")
    func early() throws {
        try self.send(WebSocketDecoderTests.frame(Self.binary, [1, 2]))
        #expect(try self.channel.written().isEmpty && self.echo.log.read.isEmpty)
        try self.begin()
        #expect(try self.frames() == [ServerFrame(2, [1, 2])])
    }

    @Test("ends who sends too much before its answer")
    func tooEarly() throws {
        for _ in 0..<65 where self.channel.isActive { try self.send([UInt8](repeating: 0x82, count: 1_024)) }
        #expect(!self.channel.isActive && self.edge.gate.count == 0 && self.loops.states[0].count == 0)
    }

    @Test("frames large pieces, and nothing around an empty one", arguments: [1, 125, 126, 4_096, 4_097, 70_000])
    func large(_ count: Int) throws {
        try self.begin()
        let context = try #require(self.echo.log.handler?.context)
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        var isWritten = false
        context.write(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
        let written = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(NIOAny(ByteBuffer()), promise: written)
        written.futureResult.assumeIsolated().whenSuccess { isWritten = true }
        #expect(try self.frames() == [ServerFrame(2, bytes)])
        #expect(isWritten)
    }

    @Test(
        "closes on what it does not take",
        arguments: [
            ("text", WebSocketDecoderTests.frame(1, Array("hi".utf8)), CloseCode.unsupportedData),
            ("no mask", [0x82, 0x01, 0x00], .protocolError),
            ("compressed", [0xc2, 0x80, 0, 0, 0, 0], .protocolError),
            ("large", [0x82, 0xfe, 0x27, 0x11, 0, 0, 0, 0], .tooBig),
            ("unbegun", WebSocketDecoderTests.frame(0, [1]), .protocolError),
        ])
    func misuse(_ name: String, _ bytes: [UInt8], _ code: CloseCode) throws {
        try self.begin()
        try self.send(bytes)
        let frames = try self.frames()
        #expect(frames.map(\.opcode) == [8] && frames.first?.closeCode == code.rawValue, "\(name)")
        // What follows is not the protocol's any more, and nothing is said after a close frame.
        try self.send(WebSocketDecoderTests.frame(Self.binary, [1]))
        #expect(self.echo.log.read.isEmpty)
        #expect(try self.frames().isEmpty && self.channel.isActive)
        self.channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        #expect(!self.channel.isActive && self.echo.log.isGone && self.edge.gate.count == 0 && self.loops.states[0].count == 0)
    }

    @Test("says goodbye when the protocol ends, and waits for the answer")
    func serviceEnds() throws {
        try self.begin()
        try self.send(WebSocketDecoderTests.frame(Self.binary, Array("a!".utf8)))
        let frames = try self.frames()
        #expect(frames == [ServerFrame(2, "a!"), ServerFrame(8, [0x03, 0xe8] + Array(CloseCode.normal.reason.utf8))])
        #expect(self.channel.isActive)
        try self.send(WebSocketDecoderTests.frame(8, [0x03, 0xe8]))
        #expect(!self.channel.isActive && self.edge.gate.count == 0)
    }

    @Test("ends at once when the protocol ends it twice")
    func serviceEndsTwice() throws {
        try self.begin()
        self.echo.log.handler?.abort()
        #expect(self.channel.isActive)
        self.echo.log.handler?.abort()
        #expect(!self.channel.isActive)
    }

    @Test("answers the client's goodbye")
    func clientEnds() throws {
        try self.begin()
        try self.send(WebSocketDecoderTests.frame(8, [0x03, 0xe9]))
        #expect(try self.frames() == [ServerFrame(8, [0x03, 0xe9])])
        #expect(!self.channel.isActive && self.echo.log.isGone && self.edge.gate.count == 0)
    }

    @Test("gives up its place when the service takes no connection")
    func refusing() throws {
        let other = try WebSocketCarrierTests(RefusingService())
        try other.begin()
        #expect(try other.frames().first?.closeCode == CloseCode.internalError.rawValue)
        other.channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        #expect(!other.channel.isActive && other.edge.gate.count == 0 && other.loops.states[0].count == 0)
    }

    @Test("answers the last of many pings of a client that does not read")
    func pings() throws {
        try self.begin()
        self.channel.isWritable = false
        for number in 0..<100 { try self.send(WebSocketDecoderTests.frame(9, [UInt8(number)])) }
        #expect(try self.frames().isEmpty)
        self.channel.isWritable = true
        self.channel.pipeline.fireChannelWritabilityChanged()
        #expect(try self.frames() == [ServerFrame(10, [99])])
    }
}
