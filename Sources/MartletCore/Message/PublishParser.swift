package import MartletWire

/// Turns one message, as a publisher sends it, into what a store takes.
///
/// **Shape.** One JSON object: `to` (exactly one of `user`, `users`, `device`, `devices`, `all`), `type`, `data` or
/// `dataBase64` with `contentType`, `notification`, `priority`, `ttl`, `collapseKey`, `idempotencyKey`. All but `to`
/// may be left out or null (`data: null` is a value). `at` and `ladder` may only be null. Anything else is refused by
/// its name, so that a misspelt member is not lost in silence. `data` and `notification` pass through byte for byte.
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
        guard bytes.count <= self.limits.messageBytes else {
            throw WireError(
                .messageTooLarge,
                "A message may have at most \(self.limits.messageBytes) bytes; this one has \(bytes.count).",
                limit: self.limits.messageBytes)
        }
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

    private func take(_ member: PublishMember, _ value: JSONValue, into draft: inout PublishDraft) throws(WireError) {
        switch member {
        case .to: draft.targets = try self.targets(value)
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
            if value.equals("medium") {
                draft.priority = .medium
            } else if value.equals("high") {
                draft.priority = .high
            } else if value.equals("low") {
                draft.priority = .low
            } else {
                throw WireError(.badRequest, "\"priority\" must be \"high\", \"medium\" or \"low\".")
            }
        case .ttl:
            guard let seconds = value.unsigned, seconds <= UInt64(self.limits.ttlMaxSeconds) else {
                throw WireError(
                    .badRequest, "\"ttl\" must be a whole number of seconds from 0 to \(self.limits.ttlMaxSeconds).",
                    limit: self.limits.ttlMaxSeconds)
            }
            draft.ttl = Int(seconds)
        case .collapseKey: draft.collapseKey = try self.name(value, "collapseKey")
        case .idempotencyKey: draft.idempotencyKey = try self.name(value, "idempotencyKey")
        case .at, .ladder:
            throw WireError(.badRequest, "\"\(member.name)\" is not supported yet: leave it out, or send null.")
        }
    }

    private func finish(_ draft: PublishDraft, bytes: Int, header: String?) throws(WireError) -> AppendRequest {
        guard let targets = draft.targets else {
            throw WireError(
                .badRequest, "\"to\" is missing: say who gets the message, for example {\"to\":{\"user\":\"alice\"}}.")
        }
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
            app: self.app, targets: targets, priority: draft.priority, ttl: draft.ttl ?? self.limits.ttlDefaultSeconds,
            collapseKey: draft.collapseKey, members: draft.members(capacity: bytes + 32))
        if let key = draft.idempotencyKey ?? header {
            request.idempotency = .init(key: key, digest: self.digest(Self.digestInput(request)))
        }
        return request
    }
}

/// What was read of a message so far. The values are views of the request's bytes.
struct PublishDraft {
    private var seen: UInt16 = 0
    var targets: [InboxKey]?
    var type: JSONValue?
    var data: JSONValue?
    /// Without the quotes.
    var base64: [UInt8]?
    var contentType: String?
    var notification: JSONValue?
    var priority = Priority.medium
    var ttl: Int?
    var collapseKey: String?
    var idempotencyKey: String?

    /// - Returns: whether the member comes for the first time.
    mutating func note(_ member: PublishMember) -> Bool {
        let bit = UInt16(1) << UInt16(member.rawValue)
        defer { self.seen |= bit }
        return self.seen & bit == 0
    }

    /// The members that devices see.
    func members(capacity: Int) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(capacity)
        if let type = self.type {
            output.append(contentsOf: #""type":"#.utf8)
            output.append(contentsOf: type.raw)
            output.append(UInt8(ascii: ","))
        }
        if let data = self.data {
            output.append(contentsOf: #""data":"#.utf8)
            output.append(contentsOf: data.raw)
            output.append(UInt8(ascii: ","))
        }
        if let base64 = self.base64 {
            output.append(contentsOf: #""dataBase64":""#.utf8)
            output.append(contentsOf: base64)
            output.append(contentsOf: #"","#.utf8)
        }
        if let contentType = self.contentType {
            output.append(contentsOf: #""contentType":"#.utf8)
            JSON.append(contentType, to: &output)
            output.append(UInt8(ascii: ","))
        }
        if let notification = self.notification {
            output.append(contentsOf: #""notification":"#.utf8)
            output.append(contentsOf: notification.raw)
            output.append(UInt8(ascii: ","))
        }
        output.append(contentsOf: #""priority":""#.utf8)
        output.append(contentsOf: self.priority.name.utf8)
        output.append(UInt8(ascii: "\""))
        return output
    }
}
