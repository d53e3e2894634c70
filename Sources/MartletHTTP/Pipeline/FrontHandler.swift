import MartletCore
import MartletNet
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

/// Keeps data-plane requests and hands the others to the control plane.
///
/// Its requests come from a ``QuickLane``, then it is no handler itself; or it stands at the end of NIO's HTTP pipeline. Both let
/// one request through at a time.
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
    let loop: HTTPLoop
    /// Who is at the other end.
    let peer: Peer
    private(set) var source: (any RequestSource)?
    /// The source, if it also takes whole answers.
    private(set) var quick: QuickLane?
    private let control: ControlPlane
    var phase = State.idle
    private(set) var context: ChannelHandlerContext?
    private(set) var isQuiescing = false
    /// A stream has the connection, and with it the peer's place in the counts.
    var isHandedOver = false
    /// The body of the request in hand. Held here only, so that it grows in place.
    private var body = BodyCollector()
    var asker = Asker()
    var isFlushing = false
    /// The socket took the answer within the flush.
    var isTaken = false
    /// Whether a request came on this connection.
    var isUsed = false
    private(set) var route = Route.other
    /// When the connection was opened, the head of the body in hand was complete, or the last answer went.
    var lastActivity = NIODeadline.now()
    /// Called when the connection goes while an answer is being made (a held poll).
    var onGone: (() -> Void)?

    init(services: HTTPServices, control: ControlPlane, loop: HTTPLoop, peer: Peer) {
        self.services = services
        self.control = control
        self.loop = loop
        self.peer = peer
    }

    var state: LoopState { self.loop.state }

    /// A lane reads the requests.
    func attach(_ context: ChannelHandlerContext, _ quick: QuickLane) {
        self.context = context
        self.quick = quick
        self.source = quick
        self.state.opened(self)
        self.state.watch(self)
    }

    /// The lane leaves it to NIO's handlers, or there is none; this is added behind them.
    func leave(for source: any RequestSource) {
        self.quick = nil
        self.source = source
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if self.context == nil {
            self.state.opened(self)
            self.state.watch(self)
        }
        self.context = context
        self.source?.onWaste = { [weak self] in self?.refuseWaste() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.detach() }

    /// The connection is gone, or another's.
    ///
    /// - Parameter isHandedOver: a stream has it, and with it the peer's place in the counts.
    func detach(isHandedOver: Bool = false) {
        guard self.context != nil else { return }
        self.state.closed(self)
        self.state.unwatch(self)
        if isHandedOver { self.isHandedOver = true }
        if !self.isHandedOver { self.peer.leave() }
        self.context = nil
        self.source = nil
        self.quick = nil
        self.gone()
    }

    /// Whoever makes an answer need not.
    func gone() {
        let onGone = self.onGone
        self.onGone = nil
        onGone?()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !self.takesError(error) { context.close(promise: nil) }
    }

    /// Whether a request may come.
    var isIdle: Bool {
        if case .idle = self.phase { true } else { false }
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

    func begin(_ head: HTTPRequestHead) {
        guard case .idle = self.phase else { return }
        self.isUsed = true
        self.lastActivity = .now()
        self.source?.bodyBegins()
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

    func append(_ part: ByteBuffer) {
        guard case .reading(let head) = self.phase else { return }
        self.source?.bodyGrew(by: part.readableBytes)
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
        self.source?.drop()
    }

    func finish() {
        guard case .reading(let head) = self.phase else { return }
        self.phase = .answering(head)
        self.route = .other
        self.source?.requestEnds()
        let request = self.request(head, body: self.body.take())
        guard self.peer.requested(head.headers[canonicalForm: "x-forwarded-for"]) else {
            self.asker = Asker()
            self.respond(ConnectionPipeline.tooManyOfAddress)
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
        case ("/v1/sse", .GET): self.stream(request) { (caller) throws(WireError) in try OneWayConnection.sse(request, caller, front: self) }
        case ("/ramen/receive", .GET): self.stream(request) { (caller) throws(WireError) in try OneWayConnection.ramen(request, caller, front: self) }
        case ("/v1/stream", .GET): StreamRequest.open(request, front: self)
        case ("/v1/ws", .GET):
            let carried = WebSocketCarrier.wanted(request, self.services)
            if carried != nil { WebSocketCarrier.open(request, as: carried, front: self) } else { WebSocketConnection.open(request, front: self) }
        case ("/mqtt", .GET): WebSocketCarrier.open(request, as: WebSocketCarrier.wanted(request, self.services), front: self)
        case ("/dev/echo", .GET) where self.services.isDev:
            self.stream { () throws(WireError) in try WebSocketConnection.echo(request, front: self) }
        case ("/v1/poll", .GET): PollClient.start(request, front: self)
        case ("/v1/exchange", .POST): ExchangeClient.start(request, front: self)
        case ("/v1/ack", .POST): AckAPI.ack(request, front: self)
        case ("/ramen/ack", .GET): AckAPI.ramenAck(request, front: self)
        case _ where request.path.begins(with: TopicAPI.prefix): TopicAPI.answer(request, front: self)
        case (_, .POST) where SessionTokenAPI.session(request.path) != nil: SessionTokenAPI.renew(request, front: self)
        case ("/v1/messages", _), ("/v1/ack", _), ("/v1/exchange", _): self.methodNotAllowed("POST")
        case _ where SessionTokenAPI.session(request.path) != nil: self.methodNotAllowed("POST")
        case ("/v1/sse", _), ("/v1/stream", _), ("/v1/ws", _), ("/mqtt", _), ("/v1/poll", _), ("/ramen/receive", _), ("/ramen/ack", _):
            self.methodNotAllowed("GET")
        default:
            guard let bridge = self.services.bridges?.bridge(at: request.path) else { return self.control.answer(request, front: self) }
            self.route = .bridge
            BridgeAPI.answer(request, bridge, front: self)
        }
    }

    /// A browser asks whether a page may send a request (WHATWG Fetch, CORS-preflight).
    private func preflight(_ request: FrontRequest) {
        if let fields = self.services.origins.preflight(request.head.headers) {
            self.respond(status: .noContent, contentType: nil, headers: fields)
        } else {
            self.respond(Bearer.foreign)
        }
    }

    func methodNotAllowed(_ allowed: String) {
        self.respond(
            WireError(.methodNotAllowed, "This path takes \(allowed) only."), headers: [("allow", allowed)])
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
