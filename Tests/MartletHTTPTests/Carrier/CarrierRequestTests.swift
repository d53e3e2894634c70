import Logging
import MartletCore
import MartletHTTP
import MartletNet
import NIOCore
import NIOEmbedded
import Testing

/// The request that asks for another protocol, from the first byte of a connection on.
@Suite("Asking for another protocol")
struct CarrierRequestTests {
    private let echo = EchoService()

    /// A connection that has sent one request.
    private struct Asked {
        let channel: EmbeddedChannel
        let edge: NetEdge
        /// The head of the answer, and what came after it.
        let head: String
        let rest: [UInt8]

        var body: String { String(decoding: self.rest, as: UTF8.self) }
        var status: String { String(self.head.dropFirst(9).prefix(3)) }

        func field(_ name: String) -> String? {
            self.head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
        }
    }

    private func ask(
        _ target: String, _ fields: [String] = [], method: String = "GET", isUpgrade: Bool = true, services names: [String] = ["mqtt"],
        then bytes: [UInt8] = []
    ) throws -> Asked {
        let channel = EmbeddedChannel()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let edge = try NetEdge(limits: Limits(), openFiles: 1_000, logger: logger)
        let server = NoServer()
        let services = HTTPServices(
            gateway: server, desk: server, topics: server, namespaces: server, gatekeeper: server, origins: OriginPolicy([], isDev: false),
            limits: Limits(), edge: edge, isDev: false, isStoreReady: { true }, wall: { 0 }, logger: logger,
            byteStreams: Dictionary(uniqueKeysWithValues: names.map { ($0, self.echo) }))
        let loops = NetLoops([channel.eventLoop])
        #expect(edge.gate.enter())
        try ConnectionPipeline(services: services, loops: loops).install(
            NewConnection(channel: channel, peer: Peer(edge: edge, address: nil), state: loops.states[0], isDirect: true))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        var lines = ["\(method) \(target) HTTP/1.1", "host: push.example.com"] + fields
        if isUpgrade {
            lines += ["upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]
        }
        try channel.writeInbound(ByteBuffer(bytes: (lines + ["", ""]).joined(separator: "\r\n").utf8 + bytes))
        channel.embeddedEventLoop.run()
        let answer = try channel.written()
        let end = answer.indices.first { answer[$0...].starts(with: "\r\n\r\n".utf8) }.map { $0 + 4 } ?? answer.count
        return Asked(channel: channel, edge: edge, head: String(decoding: answer[..<end], as: UTF8.self), rest: Array(answer[end...]))
    }

    @Test("is answered with its name", arguments: ["/mqtt", "/v1/ws"])
    func agreed(_ path: String) throws {
        let asked = try self.ask(
            path, ["sec-websocket-protocol: mqtt", "sec-websocket-extensions: permessage-deflate"],
            then: WebSocketDecoderTests.frame(2, Array("hello".utf8)))
        #expect(asked.status == "101")
        #expect(asked.field("sec-websocket-protocol") == "mqtt" && asked.field("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(asked.field("sec-websocket-extensions") == nil)
        #expect(ServerFrame.all(in: asked.rest) == [ServerFrame(2, "hello")])
        #expect(self.echo.log.credentials == [nil])
        try asked.channel.writeInbound(ByteBuffer(bytes: WebSocketDecoderTests.frame(8, [0x03, 0xe8])))
        #expect(!asked.channel.isActive && self.echo.log.isGone && asked.edge.gate.count == 0)
    }

    /// An unusual head goes through other handlers.
    @Test("is answered however the head is written")
    func otherHandlers() throws {
        let asked = try self.ask(
            "/mqtt", ["sec-websocket-protocol: mqtt", "x: \(String(repeating: "y", count: 9_000))"],
            then: WebSocketDecoderTests.frame(2, Array("hello".utf8)))
        #expect(asked.status == "101")
        #expect(ServerFrame.all(in: asked.rest) == [ServerFrame(2, "hello")])
        try asked.channel.writeInbound(ByteBuffer(bytes: WebSocketDecoderTests.frame(8, [0x03, 0xe8])))
        #expect(!asked.channel.isActive && self.echo.log.isGone && asked.edge.gate.count == 0)
    }

    @Test(
        "takes the first of the client's that is there",
        arguments: [
            (["sec-websocket-protocol: chat, b, a"], "b"), (["sec-websocket-protocol: chat", "sec-websocket-protocol: a,b"], "a"),
        ])
    func first(_ fields: [String], _ chosen: String) throws {
        let asked = try self.ask("/mqtt", fields, services: ["a", "b"])
        #expect(asked.status == "101" && asked.field("sec-websocket-protocol") == chosen)
    }

    @Test("must say which", arguments: [[], ["sec-websocket-protocol: chat"], ["sec-websocket-protocol: MQTT"]])
    func unnamed(_ fields: [String]) throws {
        let asked = try self.ask("/mqtt", fields)
        #expect(asked.status == "400" && asked.body.contains("Sec-WebSocket-Protocol: mqtt"))
        #expect(self.echo.log.credentials.isEmpty)
    }

    @Test(
        "hands on a token",
        arguments: [
            ("/mqtt?token=abc", []), ("/mqtt", ["authorization: Bearer abc"]), ("/v1/ws", ["cookie: martlet_token=abc"]),
        ])
    func credential(_ target: String, _ fields: [String]) throws {
        let asked = try self.ask(target, fields + ["sec-websocket-protocol: mqtt"])
        #expect(asked.status == "101" && self.echo.log.credentials == ["abc"])
    }

    @Test(
        "is refused to pages of elsewhere, and with what makes no sense",
        arguments: [
            ("/mqtt", ["origin: https://evil.example"], "403"), ("/v1/ws", ["origin: https://evil.example"], "403"),
            ("/mqtt", ["cookie: martlet_token=abc", "sec-fetch-site: cross-site"], "403"), ("/mqtt?user=alice", [], "400"),
        ])
    func refused(_ target: String, _ fields: [String], _ status: String) throws {
        let asked = try self.ask(target, fields + ["sec-websocket-protocol: mqtt"])
        #expect(asked.status == status && self.echo.log.credentials.isEmpty)
    }

    @Test("is allowed to the server's own pages")
    func own() throws {
        let asked = try self.ask("/mqtt", ["origin: https://push.example.com", "sec-websocket-protocol: mqtt"])
        #expect(asked.status == "101")
    }

    @Test("needs a WebSocket")
    func noUpgrade() throws {
        let asked = try self.ask("/mqtt", ["sec-websocket-protocol: mqtt"], isUpgrade: false)
        #expect(asked.status == "426" && asked.field("upgrade") == "websocket")
        let posted = try self.ask("/mqtt", ["content-length: 0"], method: "POST", isUpgrade: false)
        #expect(posted.status == "405" && posted.field("allow") == "GET")
    }

    @Test("finds nothing where nothing is carried")
    func none() throws {
        #expect(try self.ask("/mqtt", ["sec-websocket-protocol: mqtt"], services: []).status == "404")
        #expect(try self.ask("/mqtt?devise=x", ["sec-websocket-protocol: mqtt"], services: []).status == "400")
    }

    @Test("leaves /v1/ws as it is for who names nothing that is there", arguments: [[], ["mqtt"]])
    func others(_ services: [String]) throws {
        let asked = try self.ask("/v1/ws", ["sec-websocket-protocol: chat"], services: services)
        #expect(asked.status == "101" && asked.field("sec-websocket-protocol") == nil)
        #expect(self.echo.log.credentials.isEmpty)
    }
}
