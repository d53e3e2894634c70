package import MartletWire

/// What is published to one topic other than as a message's JSON: the topic's own path, with headers for the rest.
package struct TopicPublish {
    /// The bytes as they came; lent.
    package enum Body {
        /// One JSON value; checked, then passed on as it is.
        case json(UnsafeRawBufferPointer)
        /// UTF-8 that becomes a JSON string.
        case text(UnsafeRawBufferPointer)
        case binary(UnsafeRawBufferPointer, contentType: String)

        /// With `retain` this clears the retained value.
        var isEmpty: Bool {
            switch self {
            case .json(let bytes), .text(let bytes), .binary(let bytes, _): bytes.isEmpty
            }
        }
    }

    package var topic: String
    package var type: String?
    /// In seconds, as text.
    package var ttl: String?
    package var idempotencyKey: String?
    package var retain: Bool

    package init(topic: String, type: String? = nil, ttl: String? = nil, idempotencyKey: String? = nil, retain: Bool = false) {
        self.topic = topic
        self.type = type
        self.ttl = ttl
        self.idempotencyKey = idempotencyKey
        self.retain = retain
    }
}

/// What all values that are published with the same header fields have in common, checked.
package struct TopicPublishHead {
    /// With what came before the value in ``AppendRequest/members``.
    fileprivate var request: AppendRequest
    fileprivate var key: String?
    fileprivate var retain: Bool
}

extension PublishParser {
    /// Checks what is said of a publish to a topic beside its body. Untrusted: any text.
    ///
    /// - Throws: `bad_request` with a sentence that names the field.
    package func head(_ publish: TopicPublish) throws(WireError) -> TopicPublishHead {
        try self.check(topic: publish.topic)
        var request = AppendRequest(
            app: self.app, targets: [], ttl: self.limits.ttlMaxSeconds, topic: TopicAppend(name: publish.topic), members: [])
        if let type = publish.type { try self.check(type, "Message-Type") }
        if let text = publish.ttl {
            guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let ttl = Int(text), ttl <= self.limits.ttlMaxSeconds else {
                throw self.badTTL("TTL")
            }
            request.ttl = ttl
            request.marks.hasExpiry = true
        }
        guard !publish.retain || request.ttl > 0 else { throw PublishDraft.retainedForNoTime }
        if let key = publish.idempotencyKey { try self.check(key, "Idempotency-Key") }
        request.members = PublishMembers(topic: publish.topic, type: publish.type).bytes
        return TopicPublishHead(request: request, key: publish.idempotencyKey, retain: publish.retain)
    }

    /// Checks one value. Untrusted: any bytes, any length.
    ///
    /// - Throws: `message_too_large`, `invalid_json` or `bad_request`.
    package func parse(_ head: TopicPublishHead, _ body: TopicPublish.Body) throws(WireError) -> AppendRequest {
        var request = head.request
        if head.retain, body.isEmpty {
            request.topic?.retain = .clear
        } else {
            if head.retain { request.topic?.retain = .set }
            var members = PublishMembers(bytes: request.members)
            try self.append(body, to: &members)
            request.members = members.bytes
        }
        if let key = head.key { request.idempotency = .init(key: key, digest: self.digest(Self.digestInput(request))) }
        return request
    }

    private func append(_ body: TopicPublish.Body, to members: inout PublishMembers) throws(WireError) {
        switch body {
        case .json(let bytes):
            try self.checkSize(bytes.count)
            members.append(json: try JSON.value(in: bytes, maxDepth: self.limits.jsonDepth))
        case .text(let bytes):
            try self.checkSize(bytes.count)
            guard UTF8Check.isValid(bytes) else {
                throw WireError(.badRequest, "Text must be UTF-8: for other bytes send Content-Type: application/octet-stream.")
            }
            members.append(text: bytes)
        case .binary(let bytes, let contentType):
            // As it is measured when it comes as JSON.
            try self.checkSize((bytes.count + 2) / 3 * 4)
            try self.check(contentType, "Content-Type")
            members.append(binary: bytes, contentType: contentType)
        }
    }

    func checkSize(_ bytes: Int) throws(WireError) {
        guard bytes > self.limits.messageBytes else { return }
        throw WireError(
            .messageTooLarge, "A message may have at most \(self.limits.messageBytes) bytes; this one has \(bytes).",
            limit: self.limits.messageBytes)
    }

    /// Checks what a client publishes in a frame: `{"topic":"a","data":…}` with the members of a message but `to`, and `ref`, which
    /// comes back in the answer.
    ///
    /// - Parameter bytes: an object. Untrusted.
    /// - Returns: also `ref`, as JSON.
    package func parse(frame bytes: UnsafeRawBufferPointer) throws(WireError) -> (request: AppendRequest, ref: [UInt8]?) {
        try self.checkSize(bytes.count)
        var draft = PublishDraft()
        var ref: [UInt8]?
        for (key, value) in try JSON.object(in: bytes, maxDepth: self.limits.jsonDepth) {
            if key.equals("topic"), draft.topic == nil {
                guard let name = value.string else { throw WireError(.badRequest, "\"topic\" must be a string.") }
                try self.check(topic: name)
                draft.topic = name
                continue
            }
            if key.equals("ref"), ref == nil {
                ref = Array(value.raw)
                continue
            }
            guard let member = PublishMember(key), Self.frameMembers.contains(member) else {
                throw WireError(
                    .badRequest,
                    "\"publish\" cannot have a member \(NameHint.quoted(key.string ?? "")): there are topic, ref, "
                        + Self.frameMembers.map(\.name).joined(separator: ", ") + ".")
            }
            guard draft.note(member) else {
                throw WireError(.badRequest, "\"\(member.name)\" is given twice: leave one out.")
            }
            if value.kind == .null, member != .data { continue }
            try self.take(member, value, into: &draft)
        }
        guard draft.topic != nil else {
            throw WireError(.badRequest, "\"publish\" must name a topic: {\"publish\":{\"topic\":\"a/b\",\"data\":…}}.")
        }
        return (try self.finish(draft, bytes: bytes.count, header: nil), ref)
    }

    private static let frameMembers: [PublishMember] = [
        .type, .data, .dataBase64, .contentType, .notification, .ttl, .idempotencyKey, .retain,
    ]
}

/// Writes the members that subscribers see, for what does not come as JSON.
private struct PublishMembers {
    private(set) var bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    init(topic: String, type: String?) {
        self.bytes = Array(#""topic":"#.utf8)
        JSON.append(topic, to: &self.bytes)
        guard let type else { return }
        self.bytes.append(contentsOf: #","type":"#.utf8)
        JSON.append(type, to: &self.bytes)
    }

    mutating func append(json: JSONValue) {
        self.bytes.append(contentsOf: #","data":"#.utf8)
        self.bytes.append(contentsOf: json.raw)
    }

    mutating func append(text: UnsafeRawBufferPointer) {
        self.bytes.reserveCapacity(self.bytes.count + text.count + 16)
        self.bytes.append(contentsOf: #","data":"#.utf8)
        JSON.append(utf8: text, to: &self.bytes)
    }

    mutating func append(binary: UnsafeRawBufferPointer, contentType: String) {
        self.bytes.reserveCapacity(self.bytes.count + binary.count / 3 * 4 + contentType.utf8.count + 48)
        self.bytes.append(contentsOf: #","dataBase64":""#.utf8)
        Base64.append(binary, to: &self.bytes)
        self.bytes.append(contentsOf: #"","contentType":"#.utf8)
        JSON.append(contentType, to: &self.bytes)
    }
}
