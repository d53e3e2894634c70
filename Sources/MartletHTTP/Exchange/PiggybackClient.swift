import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// What waits for a client, in the header of an answer that it asked for anyway: a short poll beside a request at a bridge's path.
///
/// It never takes over, and never spoils the answer: what goes wrong with the session is a header too.
final class PiggybackClient: AnsweringClient {
    /// The place that the client has; presenting it acks what came before.
    static let cursorField = "martlet-cursor"

    /// Of messages in one header, and of the whole as JSON: proxies take lines of 8 KiB.
    private static let windowBytes = 4_096
    private static let longest = 6_000

    var answer = PollAnswer()
    private var handle: (any SessionHandle)?
    private var isAnswered = false
    private let then: ([(String, String)]) -> Void

    private init(then: @escaping ([(String, String)]) -> Void) { self.then = then }

    static func isAsked(_ headers: HTTPHeaders) -> Bool { headers.contains(name: Self.cursorField) }

    /// - Parameter then: called once, with the fields for the answer; not at all if the connection is gone by then.
    static func start(_ request: FrontRequest, _ caller: Caller, front: FrontHandler, then: @escaping ([(String, String)]) -> Void) {
        let client = PiggybackClient(then: then)
        do throws(WireError) {
            let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
            var hello = try parser.hello(caller, ackMode: .none, topics: [])
            let fields = request.head.headers[Self.cursorField]
            guard fields.count == 1, let text = fields.first else {
                throw WireError(.badRequest, "A request has one Martlet-Cursor field at most.")
            }
            if text != "none", !text.isEmpty { hello.cursor = try Cursor(parsing: text) }
            hello.windowBytes = min(hello.windowBytes, Self.windowBytes)
            hello.isPoll = true
            hello.transport = .exchange
            hello.beside = true
            let handle = front.services.gateway.open(hello, client: client, shard: front.state.index)
            guard !client.isAnswered else { return handle.clientClosed() }
            client.handle = handle
            front.onGone = { handle.clientClosed() }
        } catch {
            client.refused(error)
        }
    }

    // MARK: LiveClient

    func opened(_ welcome: Welcome) {
        self.answer.cursor = welcome.cursor
        self.answer.isBeside = welcome.isBeside
    }

    func refused(_ error: WireError) { self.finish([("martlet-error", error.code.rawValue)]) }

    func settled() { self.finish() }

    func heartbeat() {}

    func flush() -> Bool {
        // As many as may be in one header.
        if self.answer.hasNews { self.finish() }
        return false
    }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        switch code {
        case .storeUnavailable, .tokenExpired, .disconnected: self.refused(code.refusal)
        default: self.finish()
        }
    }

    // MARK: The fields

    private func finish() {
        let json = self.answer.json()
        guard json.readableBytes <= Self.longest else {
            // It stays where it is: the client asks for it by a request of its own.
            return self.finish([("martlet-pending", "true")])
        }
        var text: [UInt8] = []
        Base64URL.encode(Array(json.readableBytesView), into: &text)
        self.finish([("martlet-exchange", String(decoding: text, as: UTF8.self))])
    }

    private func finish(_ fields: [(String, String)]) {
        guard !self.isAnswered else { return }
        self.isAnswered = true
        self.then(fields)
        self.handle?.clientClosed()
        self.handle = nil
    }
}
