import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// One request of a connection, read in full.
struct FrontRequest {
    var head: HTTPRequestHead
    /// Without the query, percent-encoded.
    var path: Substring
    var query: QueryString
    var body: ByteBuffer
    /// Who is asking, if that was found out before the body was read.
    var caller: Caller?
    /// The key that was looked at a moment ago.
    var key: KeyGrant?
}

/// Stands at the end of the HTTP pipeline: keeps data-plane requests and hands the others to the control plane.
///
/// The pipelining handler before it lets one request through at a time.
final class FrontHandler: ChannelDuplexHandler, RemovableChannelHandler, Connection, Swept {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    enum State {
        case idle
        case reading(HTTPRequestHead)
        /// The answer was sent though the body is still coming: the rest is dropped, then the connection ends.
        case dropping
        /// The answer is being made.
        case answering(HTTPRequestHead)
        /// The answer was written, and the socket has not taken it: nothing is read before that, and no further request answered.
        case sending
        /// Another handler has the connection.
        case handedOver
    }

    let services: HTTPServices
    let state: LoopState
    /// Who is at the other end.
    let peer: Peer
    let bytes: ByteWatch
    private let control: ControlPlane
    var phase = State.idle
    private(set) var context: ChannelHandlerContext?
    private var isQuiescing = false
    /// A stream has the connection, and with it the peer's place in the counts.
    private var isHandedOver = false
    /// The body of the request in hand. Held here only, so that it grows in place.
    private var body = BodyCollector()
    var asker = Asker()
    private var isFlushing = false
    /// The socket took the answer within the flush.
    private var isTaken = false
    /// Whether a request came on this connection.
    var isUsed = false
    private var route = Route.other
    /// When the connection was opened, the head of the body in hand was complete, or the last answer went.
    var lastActivity = NIODeadline.now()
    /// Called when the connection goes while an answer is being made (a held poll).
    var onGone: (() -> Void)?

    init(services: HTTPServices, control: ControlPlane, state: LoopState, peer: Peer, bytes: ByteWatch) {
        self.services = services
        self.control = control
        self.state = state
        self.peer = peer
        self.bytes = bytes
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.opened(self)
        self.state.watch(self)
        self.bytes.onWaste = { [weak self] in self?.refuseWaste() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.state.closed(self)
        self.state.unwatch(self)
        if !self.isHandedOver { self.peer.leave() }
        self.context = nil
        let onGone = self.onGone
        self.onGone = nil
        onGone?()
    }

    func channelInactive(context: ChannelHandlerContext) {
        let onGone = self.onGone
        self.onGone = nil
        onGone?()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !self.takesError(error) { context.close(promise: nil) }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head): self.begin(head)
        case .body(let part): self.append(part)
        case .end: self.finish()
        }
    }

    func read(context: ChannelHandlerContext) {
        if self.asker.isChecked { context.read() } else { self.asker.isReadWanted = true }
    }

    private func begin(_ head: HTTPRequestHead) {
        guard case .idle = self.phase else { return }
        self.isUsed = true
        self.lastActivity = .now()
        self.bytes.bodyBegins()
        if let fault = self.fault(in: head) {
            self.refuse(head, fault)
            return
        }
        let path = Self.path(of: head)
        let need = BodyNeed(head.method, path)
        self.body = BodyCollector(head, limit: self.bodyLimit(head, path), isKept: need != .none)
        self.asker = Asker()
        self.phase = .reading(head)
        // A request without a body is at its end: what it shows is looked at where it is answered.
        guard self.body.isExpected else { return self.readOn(head) }
        do throws(WireError) {
            let asksForToken = try self.checkKey(head, need)
            if self.body.isTooLarge { return self.refuseBody(head, limit: self.body.limit) }
            if asksForToken { self.check(head) } else { self.readOn(head) }
        } catch {
            self.refusePublish(head)
            self.refuse(head, error)
        }
    }

    /// Why a request is not even routed.
    private func fault(in head: HTTPRequestHead) -> WireError? {
        if let fault = HeadCheck.fault(in: head) { return fault }
        guard self.services.isDev else { return nil }
        return DevGuard.fault(in: head, peer: self.peer.address, origins: self.services.origins)
    }

    private func append(_ part: ByteBuffer) {
        guard case .reading(let head) = self.phase else { return }
        self.bytes.bodyGrew(by: part.readableBytes)
        self.body.append(part)
        if self.body.isTooLarge { self.refuseBody(head, limit: self.body.limit) }
    }

    private func bodyLimit(_ head: HTTPRequestHead, _ path: Substring) -> Int {
        guard head.method == .POST, path == "/v1/messages" || path.begins(with: TopicAPI.prefix) else {
            return self.services.limits.messageBytes
        }
        return PublishAPI.isBatch(head.headers) ? self.services.limits.batchBytes : self.services.limits.messageBytes
    }

    private func refuseBody(_ head: HTTPRequestHead, limit: Int) {
        let isBatch = PublishAPI.isBatch(head.headers)
        self.refusePublish(head)
        self.refuse(
            head,
            WireError(
                isBatch ? .batchTooLarge : .messageTooLarge,
                isBatch
                    ? "A batch may hold \(limit) bytes: send it in parts." : "A message may have \(limit) bytes of JSON.",
                limit: limit))
    }

    /// Answers a request that was not read to its end, and ends the connection.
    func refuse(_ head: HTTPRequestHead, _ error: WireError) {
        self.phase = .answering(head)
        self.route = Self.route(of: head)
        self.body = BodyCollector()
        self.asker = Asker()
        self.respond(error, close: true, lingers: true)
        self.phase = .dropping
        self.bytes.drop()
    }

    private func finish() {
        guard case .reading(let head) = self.phase else { return }
        self.phase = .answering(head)
        self.route = .other
        self.bytes.requestEnds()
        let request = self.request(head, body: self.body.take())
        guard self.peer.requested(head.headers[canonicalForm: "x-forwarded-for"].map(String.init)) else {
            self.asker = Asker()
            self.respond(HTTPListener.tooManyOfAddress)
            return
        }
        if self.asker.isChecked { self.route(request) } else { self.asker.request = request }
    }

    func request(_ head: HTTPRequestHead, body: ByteBuffer) -> FrontRequest {
        let (path, query) = Self.target(head.uri).cut(at: "?")
        return FrontRequest(
            head: head, path: path, query: QueryString(query ?? ""), body: body,
            caller: self.asker.caller, key: .now() - self.lastActivity < Asker.keyLimit ? self.asker.key : nil)
    }

    /// Counts a publish that is refused before it is looked at.
    func refusePublish(_ head: HTTPRequestHead) {
        guard head.method == .POST, [.publish, .topic].contains(Self.route(of: head)) else { return }
        self.services.metrics.refusedPublishes()
    }

    // MARK: Routing

    func route(_ request: FrontRequest) {
        self.route = Route(path: request.path)
        if request.head.method == .OPTIONS, request.head.headers.contains(name: "access-control-request-method") {
            self.preflight(request)
            return
        }
        switch (request.path, request.head.method) {
        case ("/v1/messages", .POST): PublishAPI.publish(request, front: self)
        case ("/v1/sse", .GET): self.stream(request) { (caller) throws(WireError) in try SSEConnection.sse(request, caller, front: self) }
        case ("/ramen/receive", .GET): self.stream(request) { (caller) throws(WireError) in try SSEConnection.ramen(request, caller, front: self) }
        case ("/v1/ws", .GET): WebSocketConnection.open(request, front: self)
        case ("/dev/echo", .GET) where self.services.isDev:
            self.stream { () throws(WireError) in try WebSocketConnection.echo(request, front: self) }
        case ("/v1/poll", .GET): PollClient.start(request, front: self)
        case ("/v1/ack", .POST): AckAPI.ack(request, front: self)
        case ("/ramen/ack", .GET): AckAPI.ramenAck(request, front: self)
        case _ where request.path.begins(with: TopicAPI.prefix): TopicAPI.answer(request, front: self)
        case (_, .POST) where SessionTokenAPI.session(request.path) != nil: SessionTokenAPI.renew(request, front: self)
        case ("/v1/messages", _), ("/v1/ack", _): self.methodNotAllowed("POST")
        case _ where SessionTokenAPI.session(request.path) != nil: self.methodNotAllowed("POST")
        case ("/v1/sse", _), ("/v1/ws", _), ("/v1/poll", _), ("/ramen/receive", _), ("/ramen/ack", _):
            self.methodNotAllowed("GET")
        default: self.control.answer(request, front: self)
        }
    }

    /// A browser asks whether a page may send a request (WHATWG Fetch, CORS-preflight).
    private func preflight(_ request: FrontRequest) {
        let headers = request.head.headers
        let verdict = self.services.origins.verdict(origin: headers.first(name: "origin"), host: headers.first(name: "host"))
        if verdict == .foreign {
            self.respond(Bearer.foreign)
        } else {
            self.respond(status: .noContent, contentType: nil, headers: OriginPolicy.preflight)
        }
    }

    func methodNotAllowed(_ allowed: String) {
        self.respond(
            WireError(.methodNotAllowed, "This path takes \(allowed) only."), headers: [("allow", allowed)])
    }

    /// Gives the connection to a streaming handler once it is known who is asking.
    private func stream(_ request: FrontRequest, _ make: @escaping (Caller) throws(WireError) -> any StreamConnection) {
        ClientAccess.caller(request, front: self) { result in
            self.stream { () throws(WireError) in try make(try result.get()) }
        }
    }

    /// Gives the connection to a streaming handler.
    func stream(_ make: () throws(WireError) -> any StreamConnection) {
        do throws(WireError) {
            let handler = try make()
            self.services.metrics.answered(self.route, status: 200)
            self.handOver(to: handler)
        } catch {
            self.respond(error, headers: error.code == .upgradeRequired ? [("sec-websocket-version", "13"), ("upgrade", "websocket")] : [])
        }
    }

    /// Takes every HTTP handler off the connection, then lets the stream begin.
    private func handOver(to handler: any StreamConnection) {
        guard let context = self.context else { return }
        self.phase = .handedOver
        // Not now: the decoder is still on the stack.
        context.eventLoop.assumeIsolated().execute {
            guard context.channel.isActive else { return }
            let operations = context.channel.pipeline.syncOperations
            do {
                try operations.addHandler(handler)
            } catch {
                context.close(promise: nil)
                return
            }
            self.isHandedOver = true
            operations.removeHandler(self, promise: nil)
            // The decoder goes last: what it has read ahead belongs to the stream.
            for type in Self.removable {
                if let found = type(operations) { operations.removeHandler(context: found, promise: nil) }
            }
            handler.begin()
        }
    }

    private static let removable: [@Sendable (ChannelPipeline.SynchronousOperations) -> ChannelHandlerContext?] = [
        { try? $0.context(handlerType: HTTPServerPipelineHandler.self) },
        { try? $0.context(handlerType: HTTPResponseEncoder.self) },
        { try? $0.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self) },
        { try? $0.context(handlerType: ByteWatch.self) },
    ]

    // MARK: Answering

    /// Sends the whole answer and gets ready for the next request.
    ///
    /// - Parameters:
    ///   - contentType: nil for none.
    ///   - length: what `Content-Length` says, where that is not the body's (`HEAD`; RFC 9110 §8.6).
    ///   - close: end the connection whatever the client wishes.
    ///   - lingers: the client still sends: close only the sending side, or it loses the answer (RFC 9112 §9.6).
    func respond(
        status: HTTPResponseStatus, contentType: String? = "application/json", headers extra: [(String, String)] = [],
        body: ByteBuffer = ByteBuffer(), length: Int? = nil, close: Bool = false, lingers: Bool = false
    ) {
        guard case .answering(let request) = self.phase, let context = self.context else { return }
        self.onGone = nil
        self.services.metrics.answered(self.route, status: Int(status.code))
        // After an offer to upgrade the parser takes what follows for another protocol.
        let keepAlive = request.isKeepAlive && !close && !self.isQuiescing && !request.headers.contains(name: "upgrade")
        var headers = HTTPHeaders()
        headers.reserveCapacity(6 + extra.count)
        if let contentType { headers.add(name: "content-type", value: contentType) }
        if status != .noContent, status != .notModified {
            headers.add(name: "content-length", value: String(length ?? body.readableBytes))
        }
        headers.add(name: "date", value: self.state.date.header(at: self.services.wall()))
        for (name, value) in extra { headers.add(name: name, value: value) }
        if let origin = request.headers.first(name: "origin") {
            let host = request.headers.first(name: "host")
            for (name, value) in self.services.origins.headers(origin: origin, host: host) { headers.add(name: name, value: value) }
        }
        if !keepAlive {
            headers.add(name: "connection", value: "close")
        } else if request.version == .http1_0 {
            headers.add(name: "connection", value: "keep-alive")
        }
        self.phase = .sending
        self.lastActivity = .now()
        self.peer.answered()
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            guard keepAlive, case .success = result else { return context.close(mode: lingers ? .output : .all, promise: nil) }
            // Mostly at once; but then not within the flush, because what comes next may write.
            if self.isFlushing { self.isTaken = true } else { self.sent() }
        }
        let hasBody = body.readableBytes > 0 && request.method != .HEAD
        let head = HTTPResponseHead(version: request.version, status: status, headers: headers)
        context.write(self.wrapOutboundOut(.head(head)), promise: hasBody ? nil : promise)
        if hasBody { context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: promise) }
        // Who still sends gets its request read to the end and dropped. Otherwise the end of the answer, which lets the next
        // request in, waits for the socket.
        if lingers { context.write(self.wrapOutboundOut(.end(nil)), promise: nil) }
        self.isTaken = false
        self.isFlushing = true
        context.flush()
        self.isFlushing = false
        if self.isTaken { self.sent() }
    }

    /// The socket has taken the answer: the next request may come.
    private func sent() {
        guard case .sending = self.phase, let context = self.context else { return }
        self.phase = .idle
        if self.isQuiescing { return context.close(promise: nil) }
        context.write(self.wrapOutboundOut(.end(nil)), promise: nil)
    }

    func respond(_ error: WireError, headers: [(String, String)] = [], close: Bool = false, lingers: Bool = false) {
        self.services.metrics.refused(error.code)
        var headers = headers
        if error.code.status == 401 { headers.append(("www-authenticate", "Bearer")) }
        if let seconds = error.retryAfterSeconds { headers.append(("retry-after", String(seconds))) }
        self.respond(
            status: .init(statusCode: error.code.status), headers: headers, body: ErrorJSON.buffer(error), close: close,
            lingers: lingers)
    }

    // MARK: Connection

    func quiesce() {
        self.isQuiescing = true
        switch self.phase {
        case .idle, .dropping: self.context?.close(promise: nil)
        case .reading, .answering, .sending, .handedOver: break
        }
    }

    func abort() { self.context?.close(promise: nil) }
}
