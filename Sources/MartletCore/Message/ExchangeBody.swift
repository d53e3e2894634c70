package import MartletWire

/// The body of `POST /v1/exchange`: what a client has to say, in one object.
package struct ExchangeBody: Sendable {
    /// Presenting it is an ack.
    package var cursor: Cursor?
    /// An ack by number, with the live session that sent them.
    package var ack: SeqAck?
    package var session: String?
    package var subscribe: [SubscribeWish] = []
    package var unsubscribe: [TopicFilter] = []
    /// Objects, for ``PublishParser/parse(frame:)``, each for itself.
    package var publish: [[UInt8]] = []
    /// Messages in the answer, at most; nil for the default.
    package var limit: Int?

    /// Publishes in one exchange.
    package static let publishesMost = 64

    private static let members = ["cursor", "session", "ack", "subscribe", "unsubscribe", "publish", "limit"]

    /// Parses a body; an empty one says nothing. Untrusted: any bytes; the transport limits the length.
    ///
    /// - Throws: `invalid_json`, `bad_request`, `invalid_cursor` or `too_many_topics`.
    package init(parsing bytes: UnsafeRawBufferPointer, limits: Limits) throws(WireError) {
        guard !bytes.isEmpty else { return }
        var seen: Set<String> = []
        // What is published may be as deep as any message.
        for (key, value) in try JSON.object(in: bytes, maxDepth: limits.jsonDepth + 2) {
            let name = key.string ?? ""
            guard Self.members.contains(name) else {
                throw WireError(
                    .badRequest, "An exchange cannot have a member \(NameHint.quoted(name))\(NameHint.hint(name, Self.members)).")
            }
            guard seen.insert(name).inserted else { throw WireError(.badRequest, "\"\(name)\" is given twice: leave one out.") }
            if value.kind == .null { continue }
            try self.take(name, value, limits)
        }
        guard (self.ack == nil) == (self.session == nil) else {
            throw WireError(.badRequest, "\"ack\" and \"session\" go together: the numbers, and the session of the welcome that sent them.")
        }
    }

    private mutating func take(_ name: String, _ value: JSONValue, _ limits: Limits) throws(WireError) {
        switch name {
        case "cursor":
            guard let text = value.string else { throw WireError(.badRequest, "\"cursor\" must be a string.") }
            // Empty is "none yet", as in a query.
            if !text.isEmpty { self.cursor = try Cursor(parsing: text) }
        case "session":
            guard let text = value.string else { throw WireError(.badRequest, "\"session\" must be a string.") }
            self.session = text
        case "ack": self.ack = try SeqAck(value)
        case "subscribe": self.subscribe = try SubscribeWish.list(value, limits: limits)
        case "unsubscribe": self.unsubscribe = try TopicFilter.list(value, limits: limits)
        case "publish": self.publish = try Self.publishes(value)
        default:
            guard let limit = value.unsigned, (1...UInt64(limits.windowMessagesMax)).contains(limit) else {
                throw WireError(
                    .badRequest, "\"limit\" must be a number from 1 to \(limits.windowMessagesMax).", limit: limits.windowMessagesMax)
            }
            self.limit = Int(limit)
        }
    }

    private static func publishes(_ value: JSONValue) throws(WireError) -> [[UInt8]] {
        let elements = value.kind == .array ? value.elements : [value]
        guard elements.count <= Self.publishesMost else {
            throw WireError(.badRequest, "An exchange publishes at most \(Self.publishesMost) messages.", limit: Self.publishesMost)
        }
        var result: [[UInt8]] = []
        for element in elements {
            guard element.kind == .object else {
                throw WireError(.badRequest, "\"publish\" takes an object such as {\"topic\":\"a/b\",\"data\":1}, or an array of these.")
            }
            result.append(Array(element.raw))
        }
        return result
    }
}
