package import MartletWire

/// Turns one message, as a publisher sends it, into what a store takes.
///
/// **Shape.** One JSON object: `to` (exactly one of `user`, `users`, `device`, `devices`, `topic`, `all`), `type`, `data` or
/// `dataBase64` with `contentType`, `notification`, `priority`, `ttl`, `collapseKey`, `idempotencyKey`; with a topic `retain`, and
/// neither `priority` nor `collapseKey`. All but `to` may be left out or null (`data: null` is a value). `at` and `ladder` may
/// only be null. Anything else is refused by its name, so that a misspelt member is not lost in silence. `data` and
/// `notification` pass through byte for byte.
package struct PublishParser: Sendable {
    package var app: AppID
    package var limits: Limits
    /// A digest of at most 32 bytes (SHA-256); called only for messages with an idempotency key.
    package var digest: @Sendable ([UInt8]) -> [UInt8]

    package init(app: AppID, limits: Limits, digest: @escaping @Sendable ([UInt8]) -> [UInt8]) {
        self.app = app
        self.limits = limits
        self.digest = digest
    }

    /// Parses one message. Untrusted: any bytes, any length.
    ///
    /// - Parameter idempotencyKey: from the `Idempotency-Key` header; must not contradict the body's.
    /// - Throws: `message_too_large`, `invalid_json`, or `bad_request` with a sentence that names the member.
    package func parse(_ bytes: [UInt8], idempotencyKey: String? = nil) throws(WireError) -> AppendRequest {
        try bytes.withUnsafeBufferPointer { (buffer) throws(WireError) in
            try self.parse(UnsafeRawBufferPointer(buffer), idempotencyKey: idempotencyKey)
        }
    }

    /// The same for bytes that are lent.
    package func parse(
        _ bytes: UnsafeRawBufferPointer, idempotencyKey: String? = nil
    ) throws(WireError) -> AppendRequest {
        try self.checkSize(bytes.count)
        var draft = PublishDraft()
        for (key, value) in try JSON.object(in: bytes, maxDepth: self.limits.jsonDepth) {
            guard let member = PublishMember(key) else { throw PublishMember.unknown(key) }
            guard draft.note(member) else {
                throw WireError(.badRequest, "\"\(member.name)\" is given twice: leave one out.")
            }
            if value.kind == .null, member != .data, member != .to { continue }
            try self.take(member, value, into: &draft)
        }
        return try self.finish(draft, bytes: bytes.count, header: idempotencyKey)
    }

    func take(_ member: PublishMember, _ value: JSONValue, into draft: inout PublishDraft) throws(WireError) {
        switch member {
        case .to: (draft.targets, draft.topic) = try self.targets(value)
        case .retain:
            guard value.kind == .true || value.kind == .false else {
                throw WireError(.badRequest, "\"retain\" must be true or false.")
            }
            draft.retain = value.kind == .true
        case .type:
            _ = try self.name(value, "type")
            draft.type = value
        case .data: draft.data = value
        case .dataBase64: draft.base64 = try Self.base64(value)
        case .contentType: draft.contentType = try self.name(value, "contentType")
        case .notification:
            guard value.kind == .object else {
                throw WireError(
                    .badRequest, "\"notification\" must be an object such as {\"title\":\"…\",\"body\":\"…\"}.")
            }
            draft.notification = value
        case .priority:
            draft.priority = try Self.priority(value)
        case .ttl:
            guard let seconds = value.unsigned, seconds <= UInt64(self.limits.ttlMaxSeconds) else { throw self.badTTL("\"ttl\"") }
            draft.ttl = Int(seconds)
        case .collapseKey: draft.collapseKey = try self.name(value, "collapseKey")
        case .idempotencyKey: draft.idempotencyKey = try self.name(value, "idempotencyKey")
        case .at, .ladder:
            throw WireError(.badRequest, "\"\(member.name)\" is not supported yet: leave it out, or send null.")
        }
    }

    func finish(_ draft: PublishDraft, bytes: Int, header: String?) throws(WireError) -> AppendRequest {
        guard draft.targets != nil || draft.topic != nil else {
            throw WireError(
                .badRequest, "\"to\" is missing: say who gets the message, for example {\"to\":{\"user\":\"alice\"}}.")
        }
        let topic = try draft.topicAppend()
        if draft.data != nil, draft.base64 != nil {
            throw WireError(.badRequest, "\"data\" and \"dataBase64\" exclude each other: leave one out.")
        }
        if draft.contentType != nil, draft.base64 == nil {
            throw WireError(.badRequest, "\"contentType\" says what \"dataBase64\" holds: add that, or leave it out.")
        }
        if let header { try self.check(header, "Idempotency-Key") }
        if let header, let key = draft.idempotencyKey, header != key {
            throw WireError(.badRequest, "The header Idempotency-Key and \"idempotencyKey\" differ: leave one out.")
        }
        var request = AppendRequest(
            app: self.app, targets: draft.targets ?? [], priority: draft.priority ?? .medium,
            // What is published to a topic stays as long as the topic keeps it.
            ttl: draft.ttl ?? (topic == nil ? self.limits.ttlDefaultSeconds : self.limits.ttlMaxSeconds),
            collapseKey: draft.collapseKey, topic: topic, members: draft.members(capacity: bytes + 32))
        request.marks.hasExpiry = topic != nil && draft.ttl != nil
        if let key = draft.idempotencyKey ?? header {
            request.idempotency = .init(key: key, digest: self.digest(Self.digestInput(request)))
        }
        return request
    }
}
