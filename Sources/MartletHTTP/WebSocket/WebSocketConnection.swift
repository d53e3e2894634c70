import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// A connection that is a WebSocket: a session at `/v1/ws`, or the echo of dev mode.
final class WebSocketConnection: HTTPStream {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What the frames are for.
    enum Role {
        case session(visibleHeartbeat: Bool)
        case echo
    }

    /// How long a peer gets to answer a close frame.
    private static let closeTimeout = TimeAmount.seconds(2)
    /// Bytes that a client may send before the handshake is answered.
    private static let earlyLimit = 65_536
    /// Bytes that the socket has not taken: with more, nothing is read from who does not read. Above any window.
    private static let unreadLimit = 262_144

    let services: HTTPServices
    let loop: HTTPLoop
    let peer: Peer
    private let role: Role
    /// Let go once the session is open.
    private var hello: HelloBox?
    /// What waits for the first frame to say who connects.
    var unsigned: UnsignedHello?
    /// A token is being checked.
    var isChecking = false
    /// The header fields of the `101` answer; let go once it is sent.
    private var answer: [WebSocketHandshake.Header]
    private var decoder: WebSocketDecoder
    /// What messages are compressed with; nil if the client did not ask for it.
    private let deflate: DeflateOutput?
    var context: ChannelHandlerContext?
    var handle: (any SessionHandle)?
    var output = StreamOutput()
    /// A close frame was sent; nothing is sent after it.
    private(set) var isClosing = false
    private(set) var isUpgraded = false
    /// Whose session it is, once it is open.
    private(set) var app = AppID.dev
    private(set) var user: String?
    /// Publishes that wait for their answer.
    var publishes = 0
    private var earlyBytes = 0
    private var isReadingPaused = false

    private init(
        front: FrontHandler, role: Role, hello: Hello?, answer: WebSocketAnswer, limits: WebSocketDecoder.Limits
    ) {
        self.services = front.services
        self.loop = front.loop
        self.peer = front.peer
        self.role = role
        self.hello = hello.map { HelloBox($0) }
        self.answer = answer.headers
        let deflate = answer.deflate.map { _ in front.loop.deflate ?? LoopDeflate(settings: front.services.deflate, metrics: front.services.metrics) }
        front.loop.deflate = deflate ?? front.loop.deflate
        self.deflate = answer.deflate.flatMap { deflate?.output($0) }
        self.decoder = WebSocketDecoder(limits: limits, inflater: answer.deflate.flatMap { deflate?.inflater($0) })
    }

    /// `GET /v1/ws`: a session, or, without a token, a connection whose first frame must hold one.
    static func open(_ request: FrontRequest, front: FrontHandler) {
        do throws(WireError) {
            let answer = try WebSocketAnswer(request, front)
            let make: (Caller?) throws(WireError) -> WebSocketConnection = { (caller) throws(WireError) in
                try Self.session(request, caller, answer, front: front)
            }
            let access = ClientAccess(request, front.services)
            try access.refuseForeign()
            let isUnsigned = try access.token() == nil
            if isUnsigned, !front.services.isDev {
                front.stream { () throws(WireError) in try make(nil) }
            } else {
                ClientAccess.caller(request, front: front) { result in
                    front.stream { () throws(WireError) in try make(try result.get()) }
                }
            }
        } catch {
            front.stream { () throws(WireError) in throw error }
        }
    }

    private static func session(
        _ request: FrontRequest, _ caller: Caller?, _ answer: WebSocketAnswer, front: FrontHandler
    ) throws(WireError) -> WebSocketConnection {
        try request.query.allow(HelloParser.streaming + HelloParser.topics + ["cursor", "ack"])
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        var hello = try parser.hello(caller, ackMode: .explicit, mayAskLater: true)
        hello.seesClient = true
        hello.transport = .websocket
        let visible = try parser.visibleHeartbeat()
        let connection = WebSocketConnection(
            front: front, role: .session(visibleHeartbeat: visible), hello: caller == nil ? nil : hello, answer: answer,
            limits: .init(messageBytes: front.services.limits.clientFrameBytes))
        if caller == nil { connection.unsigned = UnsignedHello(hello: hello, access: ClientAccess(request, front.services)) }
        return connection
    }

    static func echo(_ request: FrontRequest, front: FrontHandler) throws(WireError) -> WebSocketConnection {
        try ClientAccess(request, front.services).refuseForeign()
        return WebSocketConnection(
            front: front, role: .echo, hello: nil, answer: try WebSocketAnswer(request, front),
            limits: .init(messageBytes: 32 << 20, fragments: 1 << 20))
    }

    var state: LoopState { self.loop.state }

    // MARK: Channel

    func begin() {
        guard let context = self.context else { return }
        switch self.role {
        case .echo:
            self.sendUpgrade()
            self.flushOutput()
        case .session(let visible):
            guard let hello = self.hello?.value else { return self.awaitToken() }
            self.hello = nil
            self.openSession(hello, visibleHeartbeat: visible, context)
        }
    }

    private func openSession(_ hello: Hello, visibleHeartbeat visible: Bool, _ context: ChannelHandlerContext) {
        StreamSocket.prepare(context.channel, heartbeatMs: hello.heartbeatMs, self.services.limits, isDirect: self.output.isDirect)
        self.app = hello.app
        self.user = hello.user
        let client = WebSocketClient(connection: self, visibleHeartbeat: visible)
        let handle = self.services.gateway.open(hello, client: client, shard: self.state.index)
        if self.context == nil || self.isClosing { handle.clientClosed() } else { self.handle = handle }
    }

    /// The first frame has said who connects.
    func openSession(_ hello: Hello) {
        guard let context = self.context, case .session(let visible) = self.role else { return }
        self.openSession(hello, visibleHeartbeat: visible, context)
    }

    /// Answers the handshake; frames may follow.
    func sendUpgrade() {
        guard !self.isUpgraded else { return }
        self.isUpgraded = true
        self.output.append(768) { buffer in
            buffer.writeStaticString("HTTP/1.1 101 Switching Protocols\r\n")
            for (name, value) in self.answer { buffer.writeString("\(name): \(value)\r\n") }
            buffer.writeStaticString("\r\n")
        }
        self.answer = []
        guard self.earlyBytes > 0, let context = self.context else { return }
        // Not now: whoever opens the session does not hold it yet.
        context.eventLoop.assumeIsolated().execute { self.decode() }
    }

    /// Refuses the handshake.
    func refuse(_ error: WireError) {
        guard !self.isClosing else { return }
        guard !self.isUpgraded else { return self.refuseFrame(error) }
        self.isClosing = true
        self.services.metrics.refused(error.code)
        self.output.append(256) { RawResponse.write(error, to: &$0) }
        self.finishOutput()
    }

    // MARK: Frames in

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = self.unwrapInboundIn(data)
        let count = buffer.readableBytes
        self.handle?.heard()
        self.decoder.feed(&buffer)
        guard self.isUpgraded else {
            // Frames that did not wait for the answer to the handshake: they are read after it.
            self.earlyBytes += count
            if self.earlyBytes > Self.earlyLimit { context.close(promise: nil) }
            return
        }
        self.decode()
    }

    private func decode() {
        guard self.context != nil else { return }
        do throws(WebSocketError) {
            while let event = try self.decoder.next() {
                self.received(event)
                if self.context == nil { return }
            }
        } catch {
            self.close(error.code.rawValue, reason: error.reason)
        }
        if !self.flushOutput() { self.pauseReading() }
    }

    /// A client that sends without reading the answers waits until it has read some; one that publishes, until some are answered.
    func pauseReading() {
        guard !self.isReadingPaused, let channel = self.context?.channel,
            self.publishes >= Self.publishesMost || StreamOutput.unread(channel) > Self.unreadLimit
        else { return }
        self.isReadingPaused = true
        try? channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func resumeReading() {
        guard self.isReadingPaused, self.publishes < Self.publishesMost, let channel = self.context?.channel else { return }
        self.isReadingPaused = false
        try? channel.syncOptions?.setOption(.autoRead, value: true)
    }

    private func received(_ event: WebSocketEvent) {
        switch event {
        case .text(let payload):
            switch self.role {
            case .echo: self.write(.text, payload, self.deflate)
            case .session: self.frame(payload)
            }
        case .binary(let payload):
            switch self.role {
            case .echo: self.write(.binary, payload, self.deflate)
            case .session: self.close(CloseCode.unsupportedData.rawValue, reason: "this endpoint takes text frames")
            }
        case .ping(let payload): self.write(.pong, payload)
        case .pong: break
        case .close(let code, _): self.peerCloses(code)
        }
    }

    private func frame(_ payload: ByteBuffer) {
        do throws(WireError) {
            let frame = try payload.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
                try ClientFrame(parsing: bytes, limits: self.services.limits)
            }
            guard self.handle != nil || !frame.needsSession else { throw Self.tokenFirst }
            switch frame {
            case .token(let token): self.check(token)
            case .ack(let ack): try self.handle?.ack(ack)
            case .ackCursor(let cursor): try self.handle?.ack(cursor)
            case .ping(let echo):
                self.writeText(echo.count + 16) {
                    $0.writeStaticString(#"{"pong":"#)
                    $0.writeBytes(echo)
                    $0.writeStaticString("}")
                }
            case .subscribe(let wishes): self.subscribe(wishes)
            case .unsubscribe(let filters): self.handle?.unsubscribe(filters)
            case .publish(let json): self.publish(json)
            case .refused(let error, let label): self.writeError(error, label)
            case .empty: break
            }
        } catch {
            self.refuseFrame(error)
        }
    }

    // MARK: Frames out

    private func write(_ opcode: WebSocketOpcode, _ payload: ByteBuffer, _ deflate: DeflateOutput? = nil) {
        guard !self.isClosing else { return }
        self.output.append(payload.readableBytes + 10) { WebSocketEncoder.frame(opcode, payload, deflate, into: &$0) }
    }

    /// Queues a text frame whose length is known when it is written.
    func writeText(_ capacity: Int, _ body: (inout ByteBuffer) -> Void) {
        guard !self.isClosing else { return }
        self.output.append(capacity + 10) { WebSocketEncoder.text(into: &$0, self.deflate, body) }
    }

    /// Queues `{"name":json}`.
    func writeText(_ name: StaticString, _ json: [UInt8]) {
        self.writeText(json.count + name.utf8CodeUnitCount + 5) {
            $0.writeStaticString("{\"")
            $0.writeStaticString(name)
            $0.writeStaticString("\":")
            $0.writeBytes(json)
            $0.writeStaticString("}")
        }
    }

    func send(_ delivery: borrowing TopicDelivery) {
        guard !self.isClosing else { return }
        if let deflate = self.deflate {
            TopicFrames.webSocket(delivery, deflate, to: &self.output)
        } else {
            TopicFrames.webSocket(delivery, to: &self.output)
        }
    }

    func writePing() { self.write(.ping, ByteBuffer()) }

    func socketTook() {
        self.resumeReading()
        self.handle?.socketTook()
    }

    // MARK: Closing

    /// Sends a close frame, then waits for the peer's for a moment.
    func close(_ code: UInt16, reason: String) {
        guard let context = self.context, !self.isClosing else { return }
        self.output.append(128) { WebSocketEncoder.close(code, reason: reason, into: &$0) }
        self.isClosing = true
        self.flushOutput()
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.closeTimeout) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    private func peerCloses(_ code: UInt16?) {
        if !self.isClosing {
            self.isClosing = true
            self.output.append(16) { WebSocketEncoder.close(code, into: &$0) }
        }
        self.finishOutput()
    }

    // MARK: Connection

    func quiesce() {
        // The node tells each session to go; an echo, and who has not said its name, have nobody to tell them.
        if self.unsigned != nil { self.refuseFrame(WireError(.draining, "The server is shutting down: connect again in a moment.")) }
        if case .echo = self.role { self.close(CloseCode.goingAway.rawValue, reason: CloseCode.goingAway.reason) }
    }
}
