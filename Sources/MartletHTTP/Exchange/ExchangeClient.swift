import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// `POST /v1/exchange`: acks, topics and publishes in, pending messages and the publishes' results out, in one answer at once.
///
/// It is a short poll with a body: beside a live session of its device it acks and publishes, what it asks of topics is for that session,
/// and messages come there.
final class ExchangeClient: AnsweringClient {
    private let front: FrontHandler
    private let caller: Caller
    private let body: ExchangeBody
    var answer = PollAnswer()
    private var handle: (any SessionHandle)?
    /// Of each publish, as JSON; nil while it is waited for.
    private var results: [[UInt8]?]
    private var isOpened = false
    private var isPublished = false
    /// Everything that can be sent now has been.
    private var isSettled = false
    private var isAnswered = false
    private var isTakenOver = false
    /// Why the session ended before the answer was whole.
    private var problem: WireError?

    private init(front: FrontHandler, caller: Caller, body: ExchangeBody) {
        self.front = front
        self.caller = caller
        self.body = body
        self.results = Array(repeating: nil, count: body.publish.count)
        // Until the session says more.
        self.answer.cursor = body.cursor
    }

    static func start(_ request: FrontRequest, front: FrontHandler) {
        ClientAccess.caller(request, front: front) { result in
            do throws(WireError) {
                let caller = try result.get()
                if let refusal = PublishAPI.refusal(request, front.services) { throw refusal }
                try request.query.allow(HelloParser.who + ["from"])
                let body = try request.body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
                    try ExchangeBody(parsing: bytes, limits: front.services.limits)
                }
                let client = ExchangeClient(front: front, caller: caller, body: body)
                let hello = try client.hello(request)
                try client.ack { error in
                    if let error { client.refused(error) } else { client.open(hello) }
                }
            } catch {
                front.respond(error)
            }
        }
    }

    private func hello(_ request: FrontRequest) throws(WireError) -> Hello {
        let parser = HelloParser(services: self.front.services, query: request.query, headers: request.head.headers)
        var hello = try parser.hello(self.caller, ackMode: .none, topics: self.body.subscribe)
        hello.cursor = self.body.cursor
        hello.windowMessages = self.body.limit ?? self.front.services.limits.windowMessages
        hello.isPoll = true
        hello.transport = .exchange
        hello.beside = true
        hello.changesLive = true
        hello.unsubscribe = self.body.unsubscribe
        return hello
    }

    /// Acks by number on the live session that it names.
    ///
    /// - Parameter then: called on the loop, at once if there is nothing to ack.
    private func ack(then: @escaping (WireError?) -> Void) throws(WireError) {
        guard let ack = self.body.ack, let session = self.body.session else { return then(nil) }
        let device = try self.caller.requiredDevice()
        guard let loop = self.front.context?.eventLoop else { return }
        let bound = NIOLoopBound(then, eventLoop: loop)
        self.front.services.gateway.ack(ack, session: session, app: self.caller.app, user: self.caller.user, device: device) { error in
            loop.execute { bound.value(error) }
        }
    }

    private func open(_ hello: Hello) {
        // It may have gone while the ack was taken.
        guard self.front.context != nil else { return }
        let handle = self.front.services.gateway.open(hello, client: self, shard: self.front.state.index)
        guard !self.isAnswered else { return handle.clientClosed() }
        self.handle = handle
        self.front.onGone = { handle.clientClosed() }
        self.publish()
    }

    // MARK: LiveClient

    func opened(_ welcome: Welcome) {
        self.isOpened = true
        self.answer.cursor = welcome.cursor
        self.answer.isBeside = welcome.isBeside
        self.publish()
    }

    func refused(_ error: WireError) {
        guard !self.isAnswered else { return }
        self.isAnswered = true
        self.front.services.metrics.refusedPublishes(self.body.publish.count)
        self.front.respond(error)
    }

    func settled() {
        self.isSettled = true
        self.finishIfDone()
    }

    func heartbeat() {}

    func flush() -> Bool {
        // As many as may be in one answer.
        if self.answer.hasNews { self.settled() }
        return false
    }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        switch code {
        case .storeUnavailable, .tokenExpired, .disconnected:
            // What was published must be told.
            guard self.isPublished, !self.results.isEmpty else { return self.refused(code.refusal) }
            self.problem = code.refusal
        case .takenOver: self.isTakenOver = true
        default: break
        }
        // It may come before the session was open; publishing needs only its rights.
        self.isOpened = true
        self.publish()
        self.settled()
    }

    // MARK: Publishing

    /// Once the session stands: what is refused as a whole publishes nothing.
    private func publish() {
        guard self.isOpened, !self.isPublished, let handle = self.handle, let loop = self.front.context?.eventLoop else { return }
        self.isPublished = true
        let publish = ClientPublish(app: self.caller.app, user: self.caller.user, services: self.front.services)
        for (index, json) in self.body.publish.enumerated() {
            let refusal = publish.publish(json, by: handle, loop: loop) { [self] answer in
                self.results[index] = answer.json
                self.finishIfDone()
            }
            if let refusal {
                if case .failure(let error) = refusal.result { self.front.services.metrics.refused(error.code) }
                self.results[index] = refusal.json
            }
        }
        self.finishIfDone()
    }

    // MARK: The answer

    private func finishIfDone() {
        guard self.isPublished, self.isSettled, !self.isAnswered, !self.results.contains(where: { $0 == nil }) else { return }
        self.isAnswered = true
        var body = self.answer.json { body in
            if self.isTakenOver { body.writeStaticString(#","takenOver":true"#) }
            PollAnswer.write(self.results.compactMap { $0 }, as: "published", to: &body)
            if let problem = self.problem {
                body.writeStaticString(",")
                // Without its braces.
                body.writeBytes(problem.json.dropFirst().dropLast())
            }
        }
        body.writeStaticString("\n")
        self.front.respond(status: .ok, headers: [("cache-control", "no-store")], body: body)
        self.handle?.clientClosed()
        self.handle = nil
    }
}
