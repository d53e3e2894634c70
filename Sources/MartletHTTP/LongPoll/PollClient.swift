import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `GET /v1/poll`: one answer from a session; with `wait`, held until there is something to say.
///
/// A hold is the session's heartbeat interval: when nothing came for that long, the poll answers empty.
final class PollClient: LiveClient {
    private let front: FrontHandler
    private let waits: Bool
    private let known: String?
    private var handle: (any SessionHandle)?
    private var cursor: Cursor?
    private var messages = ByteBuffer()
    private var messageCount = 0
    /// As JSON.
    private var gaps: [[UInt8]] = []
    private var presences: [[UInt8]] = []
    private var isAnswered = false
    private var isBeside = false

    private init(front: FrontHandler, waits: Bool, known: String?) {
        self.front = front
        self.waits = waits
        self.known = known
    }

    static func start(_ request: FrontRequest, front: FrontHandler) {
        ClientAccess.caller(request, front: front) { result in
            switch result {
            case .success(let caller): Self.start(request, caller, front: front)
            case .failure(let error): front.respond(error)
            }
        }
    }

    private static func start(_ request: FrontRequest, _ caller: Caller, front: FrontHandler) {
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        let limits = front.services.limits
        do throws(WireError) {
            try request.query.allow(HelloParser.who + HelloParser.topics + ["cursor", "wait", "limit", "from"])
            var hello = try parser.hello(caller, ackMode: .none)
            let wait = try parser.number("wait", default: 0, 0...limits.waitMaxSeconds)
            hello.ackMode = .none
            hello.windowMessages = try parser.number("limit", default: limits.windowMessages, 1...limits.windowMessagesMax)
            hello.heartbeatMs = Int64(max(1, wait)) * 1_000
            hello.isPoll = true
            hello.transport = .poll
            hello.beside = wait == 0
            let client = PollClient(
                front: front, waits: wait > 0, known: request.head.headers.first(name: "if-none-match"))
            let handle = front.services.gateway.open(hello, client: client, shard: front.state.index)
            if client.isAnswered {
                handle.clientClosed()
            } else {
                client.handle = handle
                front.onGone = { handle.clientClosed() }
            }
        } catch {
            front.respond(error)
        }
    }

    // MARK: LiveClient

    func opened(_ welcome: Welcome) {
        self.cursor = welcome.cursor
        self.isBeside = welcome.isBeside
    }

    func refused(_ error: WireError) {
        self.isAnswered = true
        self.front.respond(error)
    }

    func send(_ delivery: borrowing Delivery) {
        if self.messageCount > 0 { self.messages.writeInteger(UInt8(ascii: ",")) }
        DeliveryJSON.message(delivery, [], into: &self.messages)
        self.messageCount += 1
        self.cursor = delivery.cursor
    }

    func gap(_ gap: GapNotice) { self.gaps.append(DeliveryJSON.gap(gap)) }

    func send(_ delivery: borrowing TopicDelivery) {
        if self.messageCount > 0 { self.messages.writeInteger(UInt8(ascii: ",")) }
        DeliveryJSON.message(delivery.message, isRetained: delivery.isRetained, into: &self.messages)
        self.messageCount += 1
        if let cursor = delivery.cursor { self.cursor = cursor }
    }

    func gap(_ gap: TopicGap, cursor: Cursor) {
        self.gaps.append(DeliveryJSON.gap(gap))
        self.cursor = cursor
    }

    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {
        // A poll asks for its topics when it begins.
    }

    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {
        // The next poll that asks for it is refused.
    }

    func presence(_ event: PresenceEvent) { self.presences.append(DeliveryJSON.presence(event)) }

    func settled() {
        if !self.waits { self.answer() }
    }

    func heartbeat() { self.answer() }

    func flush() -> Bool {
        if self.hasNews { self.answer() }
        // Nothing more goes into this answer.
        return false
    }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        switch code {
        case .storeUnavailable, .tokenExpired, .disconnected:
            guard !self.isAnswered else { return }
            self.isAnswered = true
            self.front.respond(code.refusal)
        default: self.answer(takenOver: code == .takenOver)
        }
    }

    // MARK: The answer

    private func answer(takenOver: Bool = false) {
        guard !self.isAnswered else { return }
        self.isAnswered = true
        self.respond(takenOver: takenOver)
        self.handle?.clientClosed()
        self.handle = nil
    }

    private func respond(takenOver: Bool) {
        let cursor = self.cursor?.description ?? ""
        let tag = "\"\(cursor)\""
        let headers = [("etag", tag), ("cache-control", "no-cache, no-transform")]
        if !self.hasNews, let known = self.known, Self.isSamePlace(known, self.cursor) {
            self.front.respond(
                status: .notModified, contentType: nil, headers: [("etag", known), ("cache-control", "no-cache, no-transform")])
            return
        }
        var body = ByteBufferAllocator().buffer(capacity: 160 + self.messages.readableBytes)
        body.writeString(#"{"cursor":"\#(cursor)","messages":["#)
        body.writeBuffer(&self.messages)
        body.writeStaticString("]")
        Self.write(self.gaps, as: "gaps", to: &body)
        Self.write(self.presences, as: "presence", to: &body)
        if self.isBeside { body.writeStaticString(#","live":true"#) }
        if takenOver { body.writeStaticString(#","takenOver":true"#) }
        body.writeStaticString("}\n")
        self.front.respond(status: .ok, headers: headers, body: body)
    }

    private var hasNews: Bool { self.messageCount > 0 || !self.gaps.isEmpty || !self.presences.isEmpty }

    private static func write(_ notices: [[UInt8]], as name: String, to body: inout ByteBuffer) {
        guard !notices.isEmpty else { return }
        body.writeString(#","\#(name)":["#)
        for (index, notice) in notices.enumerated() {
            if index > 0 { body.writeInteger(UInt8(ascii: ",")) }
            body.writeBytes(notice)
        }
        body.writeStaticString("]")
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
