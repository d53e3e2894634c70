import MartletCore
import MartletWire
import NIOHTTP1

/// Reads a hello out of a request's query and headers, the same for every transport.
struct HelloParser {
    let services: HTTPServices
    let query: QueryString
    let headers: HTTPHeaders

    /// Parameters that say who is asking.
    static let who = ["user", "device", "token"]
    /// Parameters of every streaming transport.
    static let streaming = Self.who + ["hb", "heartbeat", "window", "from"]
    /// Parameters of transports that take topics.
    static let topics = ["topics", "since", "presence"]

    /// The hello of a streaming transport.
    ///
    /// - Parameters:
    ///   - caller: nil if that is said later; see ``Caller/sign(_:)``.
    ///   - ackMode: the transport's own; `ack=` overrides it.
    ///   - mayAskLater: whether topics may be named once the session is open: `topics=` may be empty then.
    ///   - topics: in the place of those that the query names; then there may be none, and nobody who listens.
    func hello(
        _ caller: Caller?, ackMode: AckMode, mayAskLater: Bool = false, topics: [SubscribeWish]? = nil
    ) throws(WireError) -> Hello {
        var hello = Hello(
            app: .dev, user: nil, device: nil, ackMode: try self.ackMode(ackMode), limits: self.services.limits)
        hello.topics = if let topics { topics } else { try self.wishes() }
        if let caller {
            // In dev mode topics are for everybody.
            guard
                caller.user != nil || caller.device != nil || !hello.topics.isEmpty || topics != nil
                    || mayAskLater && self.query["topics"] != nil
            else {
                throw WireError(
                    .unauthorized,
                    "Say who is listening: add ?user=NAME, and &device=NAME to resume after a disconnect; or name ?topics=.")
            }
            caller.sign(&hello)
        }
        hello.windowMessages = try self.number("window", default: hello.windowMessages, 1...self.services.limits.windowMessagesMax)
        hello.fromNow = try self.choice("from", ["now"]) != nil
        hello.heartbeatMs = try self.heartbeat(default: hello.heartbeatMs)
        // Empty is "none yet", so that a client can always send what it holds.
        if let cursor = self.query["cursor"], !cursor.isEmpty { hello.cursor = try Cursor(parsing: cursor) }
        return hello
    }

    /// The topics that the query names.
    private func wishes() throws(WireError) -> [SubscribeWish] {
        guard let text = self.query["topics"] else {
            guard self.query["since"] == nil, self.query["presence"] == nil else {
                throw WireError(.badRequest, "'since' and 'presence' are for topics: name some with 'topics'.")
            }
            return []
        }
        let start = try self.query["since"].map { (text) throws(WireError) in try TopicStart(parsing: text) } ?? .latest
        let presence = try self.choice("presence", ["1"]) != nil
        return try TopicList.parse(text, limits: self.services.limits).map { SubscribeWish(filter: $0, start: start, presence: presence) }
    }

    private func ackMode(_ own: AckMode) throws(WireError) -> AckMode {
        switch try self.choice("ack", ["explicit", "none"]) {
        case "explicit": .explicit
        case "none": .none
        default: own
        }
    }

    /// `heartbeat=` in seconds, taken into the limits.
    func heartbeat(default own: Int64) throws(WireError) -> Int64 {
        try self.query.seconds("heartbeat", default: own, self.services.limits.heartbeatMinMs...self.services.limits.heartbeatMaxMs)
    }

    /// Whether JavaScript must see heartbeats.
    func visibleHeartbeat() throws(WireError) -> Bool { try self.choice("hb", ["visible"]) != nil }

    func choice(_ name: String, _ values: [String]) throws(WireError) -> String? { try self.query.choice(name, values) }

    func number(_ name: String, default own: Int, _ range: ClosedRange<Int>) throws(WireError) -> Int {
        try self.query.number(name, default: own, range)
    }

    /// RAMEN's `seq`, and the number of a `Last-Event-ID` if that is larger.
    func ramenSeq() throws(WireError) -> UInt64 {
        try self.query.seq(lastEventID: self.headers.first(name: "last-event-id"))
    }
}

extension Caller {
    /// The device, which some calls cannot do without.
    func requiredDevice() throws(WireError) -> String {
        guard let device = self.device else {
            throw WireError(.badRequest, "Name the device: add &device=NAME.")
        }
        return device
    }
}
