package import MartletWire

/// What a client says on a two-way connection: one JSON object with at most one member.
package enum ClientFrame: Equatable, Sendable {
    /// `{"ack":7}` (everything up to it) or `{"ack":[5,7]}` (just these).
    case ack(SeqAck)
    /// `{"ack":"<cursor>"}`.
    case ackCursor(Cursor)
    /// `{"ping":<any JSON>}`: the JSON, to be echoed byte for byte.
    case ping([UInt8])
    /// `{"token":"eyJ…"}`: who connects, or a newer token for a live session.
    case token(String)
    /// `{"subscribe":"a"}`, or the longer forms of ``SubscribeWish/init(_:limits:)``.
    case subscribe([SubscribeWish])
    /// `{"unsubscribe":"a"}` or `{"unsubscribe":["a","b/#"]}`.
    case unsubscribe([TopicFilter])
    /// `{"publish":{"topic":"a","data":…}}`: the object, for ``PublishParser/parse(frame:)``.
    case publish([UInt8])
    /// One of the three above with something in it that is wrong: the answer to it. The connection goes on.
    case refused(WireError, FrameLabel)
    /// `{}`: a heartbeat.
    case empty

    /// Whether it makes sense only once the session is open.
    package var needsSession: Bool {
        switch self {
        case .ack, .ackCursor, .subscribe, .unsubscribe, .publish, .refused: true
        case .ping, .token, .empty: false
        }
    }

    /// Parses a frame. Untrusted: any bytes; the transport limits the length.
    ///
    /// - Throws: `invalid_json`, `bad_request` or `invalid_cursor`.
    package init(parsing bytes: UnsafeRawBufferPointer, limits: Limits) throws(WireError) {
        // What is published may be as deep as any message.
        let members = try JSON.object(in: bytes, maxDepth: limits.jsonDepth + 2)
        guard let (key, value) = members.first else {
            self = .empty
            return
        }
        guard members.count == 1 else {
            throw WireError(
                .badRequest, "A frame holds one member; this one has \(members.count). Send one frame for each.")
        }
        if key.equals("ping") {
            self = .ping(Array(value.raw))
        } else if key.equals("token") {
            guard let token = value.string else { throw WireError(.badRequest, "\"token\" must be a token, as a string.") }
            self = .token(token)
        } else if key.equals("ack") {
            if value.kind == .string {
                self = .ackCursor(try Cursor(parsing: value.string ?? ""))
            } else {
                self = .ack(try SeqAck(value))
            }
        } else if let frame = Self.ofTopics(key, value, limits) {
            self = frame
        } else {
            throw WireError(
                .badRequest,
                "A frame cannot have a member \(NameHint.quoted(key.string ?? "")): there are "
                    + "ack, ping, token, subscribe, unsubscribe and publish.")
        }
    }
}

extension ClientFrame {
    private static func ofTopics(_ key: JSONValue, _ value: JSONValue, _ limits: Limits) -> ClientFrame? {
        do throws(WireError) {
            if key.equals("subscribe") { return .subscribe(try SubscribeWish.list(value, limits: limits)) }
            if key.equals("unsubscribe") { return .unsubscribe(try TopicFilter.list(value, limits: limits)) }
            guard key.equals("publish") else { return nil }
            guard value.kind == .object else {
                throw WireError(.badRequest, "\"publish\" must be an object such as {\"topic\":\"a/b\",\"data\":1}.")
            }
            return .publish(Array(value.raw))
        } catch {
            return .refused(error, FrameLabel(key.string ?? "", value))
        }
    }
}

/// What tells a client which of its frames an error answers, as far as the frame says it: taken from frames with something wrong in them, too.
package struct FrameLabel: Equatable, Sendable {
    /// The frame's one member: `subscribe`, `unsubscribe` or `publish`.
    package var frame: String
    /// What the frame calls the topic, which may be none; nil if it names none, several, or one of more than ``topicLimit`` bytes.
    package var topic: String?
    /// The `ref` of a publish, as JSON.
    package var ref: [UInt8]?

    private static let topicLimit = 1_024

    package init(frame: String, topic: String? = nil) {
        self.frame = frame
        self.topic = topic
    }

    init(_ frame: String, _ value: JSONValue) {
        self.init(frame: frame)
        var value = value
        if value.kind == .array {
            let elements = value.elements
            guard elements.count == 1 else { return }
            value = elements[0]
        }
        if value.kind == .string { self.topic = Self.limited(value) }
        guard value.kind == .object else { return }
        for (key, value) in value.members {
            if key.equals("topic"), self.topic == nil { self.topic = Self.limited(value) }
            if key.equals("ref"), frame == "publish", self.ref == nil { self.ref = Array(value.raw) }
        }
    }

    /// Of a `publish` that was checked to be an object.
    package init(publish json: [UInt8], limits: Limits) {
        self.init(frame: "publish")
        json.withUnsafeBytes { bytes in
            if let value = try? JSON.value(in: bytes, maxDepth: limits.jsonDepth + 2) { self = FrameLabel("publish", value) }
        }
    }

    private static func limited(_ value: JSONValue) -> String? {
        guard value.raw.count <= self.topicLimit else { return nil }
        return value.string
    }
}

/// The body of `POST /v1/ack`: `{"cursor":"…"}`, or `{"session":"…","ack":7}` with a number or an array of them.
package enum AckBody: Equatable, Sendable {
    case cursor(Cursor)
    case seqs(SeqAck, session: String)

    /// Levels of JSON in an ack.
    private static let maxDepth = 16

    /// Parses a body. Untrusted: any bytes; the transport limits the length.
    ///
    /// - Throws: `invalid_json`, `bad_request` or `invalid_cursor`.
    package init(parsing bytes: UnsafeRawBufferPointer) throws(WireError) {
        let shape = WireError(
            .badRequest,
            "An ack is {\"cursor\":\"…\"}, or {\"session\":\"…\",\"ack\":7} with the session from the welcome.")
        var cursor: String?
        var session: String?
        var ack: SeqAck?
        for (key, value) in try JSON.object(in: bytes, maxDepth: Self.maxDepth) {
            if key.equals("cursor"), cursor == nil, let text = value.string {
                cursor = text
            } else if key.equals("session"), session == nil, let text = value.string {
                session = text
            } else if key.equals("ack"), ack == nil {
                ack = try SeqAck(value)
            } else {
                throw shape
            }
        }
        switch (cursor, session, ack) {
        case (let cursor?, nil, nil): self = .cursor(try Cursor(parsing: cursor))
        case (nil, let session?, let ack?): self = .seqs(ack, session: session)
        default: throw shape
        }
    }
}

extension SeqAck {
    /// Numbers in one ack, at most: a window of them.
    private static let maxNumbers = 1_024

    /// Reads `7` or `[5,7]`.
    init(_ value: JSONValue) throws(WireError) {
        let shape = WireError(
            .badRequest, "\"ack\" must be a sequence number such as 7, or an array of them such as [5,7].")
        if let seq = value.unsigned {
            self = .upTo(seq)
            return
        }
        let elements = value.elements
        guard value.kind == .array else { throw shape }
        guard elements.count <= Self.maxNumbers else {
            throw WireError(.badRequest, "\"ack\" may hold at most \(Self.maxNumbers) numbers.", limit: Self.maxNumbers)
        }
        var seqs: [UInt64] = []
        seqs.reserveCapacity(elements.count)
        for element in elements {
            guard let seq = element.unsigned else { throw shape }
            seqs.append(seq)
        }
        self = .each(seqs)
    }
}
