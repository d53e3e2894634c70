import MartletWire

extension PublishParser {
    /// Whom a message goes to: inboxes, each once, in the order given; or a topic.
    func targets(_ value: JSONValue) throws(WireError) -> ([InboxKey]?, topic: String?) {
        guard value.kind == .object else {
            throw WireError(.badRequest, "\"to\" must be an object such as {\"user\":\"alice\"}.")
        }
        var result: [InboxKey]?
        var topic: String?
        for (key, value) in value.members {
            let member = key.string ?? ""
            let isKnown = PublishMember.targets.contains(member)
            if value.kind == .null, isKnown || PublishMember.laterTargets.contains(member) { continue }
            guard result == nil && topic == nil || !isKnown else {
                throw WireError(.badRequest, "\"to\" must hold exactly one of \(Self.targetNames).")
            }
            switch member {
            case "user": result = [.user(try self.name(value, "to.user"), in: self.app)]
            case "device": result = [.device(try self.name(value, "to.device"), in: self.app)]
            case "users": result = try self.inboxes(.user, value, "to.users")
            case "devices": result = try self.inboxes(.device, value, "to.devices")
            case "topic": topic = try self.topic(value)
            case "all":
                guard value.kind == .true else { throw WireError(.badRequest, "\"to.all\" can only be true.") }
                result = [.everyone(in: self.app)]
            case _ where PublishMember.laterTargets.contains(member):
                throw WireError(
                    .badRequest, "\"to.\(member)\" is not supported yet: use one of \(Self.targetNames).")
            default:
                throw WireError(
                    .badRequest,
                    "\"to\" has an unknown member \(NameHint.quoted(member))"
                        + NameHint.hint(member, PublishMember.targets) + "."
                )
            }
        }
        guard result != nil || topic != nil else {
            throw WireError(.badRequest, "\"to\" is empty: it must hold one of \(Self.targetNames).")
        }
        return (result, topic)
    }

    private static let targetNames = "user, users, device, devices, topic and all"

    private func topic(_ value: JSONValue) throws(WireError) -> String {
        guard let name = value.string else { throw WireError(.badRequest, "\"topic\" must be a string.") }
        try self.check(topic: name)
        return name
    }

    /// - Throws: `bad_request` if no topic can have this name.
    func check(topic name: String) throws(WireError) {
        if let problem = topicProblem(name, self.limits, wildcards: false) { throw problem.error }
    }

    func badTTL(_ member: String) -> WireError {
        WireError(
            .badRequest, "\(member) must be a whole number of seconds from 0 to \(self.limits.ttlMaxSeconds).",
            limit: self.limits.ttlMaxSeconds)
    }

    static func priority(_ value: JSONValue) throws(WireError) -> Priority {
        if value.equals("medium") { return .medium }
        if value.equals("high") { return .high }
        if value.equals("low") { return .low }
        throw WireError(.badRequest, "\"priority\" must be \"high\", \"medium\" or \"low\".")
    }

    private func inboxes(_ scope: Scope, _ value: JSONValue, _ member: String) throws(WireError) -> [InboxKey] {
        let elements = value.elements
        guard value.kind == .array, !elements.isEmpty else {
            throw WireError(.badRequest, "\"\(member)\" must be an array of at least one name.")
        }
        guard elements.count <= self.limits.targetsPerMessage else {
            throw WireError(
                .badRequest,
                "\"\(member)\" may hold at most \(self.limits.targetsPerMessage) names: send several messages.",
                limit: self.limits.targetsPerMessage)
        }
        var seen: Set<InboxKey> = []
        var result: [InboxKey] = []
        for (index, element) in elements.enumerated() {
            let key = InboxKey(app: self.app, scope: scope, name: try self.name(element, member, index))
            if seen.insert(key).inserted { result.append(key) }
        }
        return result
    }

    /// - Parameter index: of an element of `member`; nil for the member itself.
    func name(_ value: JSONValue, _ member: String, _ index: Int? = nil) throws(WireError) -> String {
        guard let text = value.string else {
            let member = index.map { "\(member)[\($0)]" } ?? member
            throw WireError(
                .badRequest,
                value.kind == .number
                    ? "\"\(member)\" must be a string: put it in quotes." : "\"\(member)\" must be a string.")
        }
        try self.check(text, member, index)
        return text
    }

    func check(_ name: String, _ member: String, _ index: Int? = nil) throws(WireError) {
        guard let problem = nameProblem(name, limit: self.limits.nameBytes) else { return }
        let member = index.map { "\(member)[\($0)]" } ?? member
        let isTooLong = name.utf8.count > self.limits.nameBytes
        throw WireError(.badRequest, "\"\(member)\" \(problem).", limit: isTooLong ? self.limits.nameBytes : nil)
    }

    /// Checks standard base64 with padding (RFC 4648 §4).
    static func base64(_ value: JSONValue) throws(WireError) -> [UInt8] {
        guard let text = value.string else { throw WireError(.badRequest, "\"dataBase64\" must be a string.") }
        let bytes = Array(text.utf8)
        guard Base64.isValid(bytes) else {
            throw WireError(
                .badRequest,
                "\"dataBase64\" is not base64 with the standard alphabet and padding (RFC 4648, section 4).")
        }
        return bytes
    }

    /// What makes two publishes the same: all but the idempotency key. Lengths keep the parts apart.
    static func digestInput(_ request: AppendRequest) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(request.members.count + 64)
        Varint.append(UInt64(request.targets.count), to: &output)
        for target in request.targets {
            output.append(target.scope.rawValue)
            Varint.append(UInt64(target.name.utf8.count), to: &output)
            output.append(contentsOf: target.name.utf8)
        }
        if let topic = request.topic {
            output.append(topic.retain.rawValue)
            Varint.append(UInt64(topic.name.utf8.count), to: &output)
            output.append(contentsOf: topic.name.utf8)
        }
        output.append(request.priority.rawValue)
        Varint.append(UInt64(request.ttl), to: &output)
        output.append(request.collapseKey == nil ? 0 : 1)
        Varint.append(UInt64(request.collapseKey?.utf8.count ?? 0), to: &output)
        output.append(contentsOf: (request.collapseKey ?? "").utf8)
        output.append(contentsOf: request.members)
        return output
    }
}

/// Why a user, device, type or key cannot have this name; nil if it can. As the end of a sentence.
///
/// - Parameter limit: longest name, in bytes.
package func nameProblem(_ name: String, limit: Int) -> String? {
    let count = name.utf8.count
    guard count > 0 else { return "must not be empty" }
    guard count <= limit else { return "may have at most \(limit) bytes; this has \(count)" }
    // ASCII alone is told byte by byte: this runs for every name of every message.
    var isASCII = true
    for byte in name.utf8 {
        guard byte >= 0x20, byte != 0x7f else { return "must not hold control characters" }
        if byte >= 0x80 { isASCII = false }
    }
    if isASCII { return nil }
    for scalar in name.unicodeScalars {
        switch scalar.value {
        case 0x80...0x9f: return "must not hold control characters (U+0080 to U+009F are some)"
        case 0x2028, 0x2029: return "must not hold line separators (U+2028, U+2029)"
        case 0xfffd: return "must be UTF-8; it holds U+FFFD, which stands for what could not be decoded"
        default: break
        }
    }
    return nil
}
