import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// `GET /v1/poll`: one answer from a session; with `wait`, held until there is something to say; with `callback`, as a script.
///
/// A hold is the session's heartbeat interval: when nothing came for that long, the poll answers empty.
final class PollClient: AnsweringClient {
    private let front: FrontHandler
    private let waits: Bool
    /// The entity tag that the client has.
    private let known: String?
    private let script: ScriptAnswer?
    private var handle: (any SessionHandle)?
    var answer = PollAnswer()
    private var isAnswered = false

    private init(front: FrontHandler, waits: Bool, known: String?, script: ScriptAnswer?) {
        self.front = front
        self.waits = waits
        self.known = known
        self.script = script
    }

    static func start(_ request: FrontRequest, front: FrontHandler) {
        let script: ScriptAnswer?
        do throws(WireError) {
            script = try request.query["callback"].map { (name) throws(WireError) in ScriptAnswer(try CallbackName(parsing: name)) }
        } catch {
            return front.respond(error)
        }
        ClientAccess.caller(request, front: front) { result in
            do throws(WireError) {
                let caller = try result.get()
                if script != nil { try ScriptAnswer.refuseUnsaid(request, front.services) }
                try Self.start(request, caller, script, front: front)
            } catch {
                Self.respond(error, script, front)
            }
        }
    }

    private static func start(_ request: FrontRequest, _ caller: Caller, _ script: ScriptAnswer?, front: FrontHandler) throws(WireError) {
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        let limits = front.services.limits
        try request.query.allow(HelloParser.who + HelloParser.topics + ["cursor", "wait", "limit", "from", "callback"])
        var hello = try parser.hello(caller, ackMode: .none)
        let wait = try parser.number("wait", default: 0, 0...limits.waitMaxSeconds)
        hello.ackMode = .none
        hello.windowMessages = try parser.number("limit", default: limits.windowMessages, 1...limits.windowMessagesMax)
        hello.heartbeatMs = Int64(max(1, wait)) * 1_000
        hello.isPoll = true
        hello.transport = script == nil ? .poll : .jsonp
        hello.beside = wait == 0
        let client = PollClient(
            front: front, waits: wait > 0, known: script == nil ? request.head.headers.first(name: "if-none-match") : nil, script: script)
        let handle = front.services.gateway.open(hello, client: client, shard: front.state.index)
        if client.isAnswered {
            handle.clientClosed()
        } else {
            client.handle = handle
            front.onGone = { handle.clientClosed() }
        }
    }

    // MARK: LiveClient

    func opened(_ welcome: Welcome) {
        self.answer.cursor = welcome.cursor
        self.answer.isBeside = welcome.isBeside
    }

    func refused(_ error: WireError) {
        guard !self.isAnswered else { return }
        self.isAnswered = true
        Self.respond(error, self.script, self.front)
    }

    func settled() {
        if !self.waits { self.finish() }
    }

    func heartbeat() { self.finish() }

    func flush() -> Bool {
        if self.answer.hasNews { self.finish() }
        // Nothing more goes into this answer.
        return false
    }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        switch code {
        case .storeUnavailable, .tokenExpired, .disconnected: self.refused(code.refusal)
        default: self.finish(takenOver: code == .takenOver)
        }
    }

    // MARK: The answer

    private func finish(takenOver: Bool = false) {
        guard !self.isAnswered else { return }
        self.isAnswered = true
        self.respond(takenOver: takenOver)
        self.handle?.clientClosed()
        self.handle = nil
    }

    private static func respond(_ error: WireError, _ script: ScriptAnswer?, _ front: FrontHandler) {
        if let script { script.respond(error, front) } else { front.respond(error) }
    }

    private func respond(takenOver: Bool) {
        let caching = ("cache-control", "no-cache, no-transform")
        if !self.answer.hasNews, let known = self.known, Self.isSamePlace(known, self.answer.cursor) {
            self.front.respond(status: .notModified, contentType: nil, headers: [("etag", known), caching])
            return
        }
        var body = self.answer.json { if takenOver { $0.writeStaticString(#","takenOver":true"#) } }
        if let script = self.script { return script.respond(body, self.front) }
        body.writeStaticString("\n")
        let tag = "\"\(self.answer.cursor?.description ?? "")\""
        self.front.respond(status: .ok, headers: [("etag", tag), caching], body: body)
    }

    /// Whether an entity tag names this place; the tag of the session within the cursor does not matter.
    private static func isSamePlace(_ tag: String, _ cursor: Cursor?) -> Bool {
        guard let cursor, tag.first == "\"", tag.last == "\"", tag.count > 2,
            var other = try? Cursor(parsing: tag.dropFirst().dropLast())
        else { return false }
        other.tag = cursor.tag
        // A reader that is caught up has moved past what was not for it; nothing new came if nothing was sent.
        return other.epoch == cursor.epoch && other.userHash == cursor.userHash && other.deviceHash == cursor.deviceHash
    }
}
