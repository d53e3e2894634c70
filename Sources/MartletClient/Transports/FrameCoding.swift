import Foundation
import MartletWire

/// The JSON of the protocol (docs/protocol.md), to frames and back.
package enum FrameCoding {
    /// Levels of nesting that are read.
    private static let maxDepth = 128

    /// An object as a WebSocket carries it: one member, which names it. nil for what is not known.
    package static func frame(_ bytes: [UInt8]) -> ServerFrame? {
        bytes.withUnsafeBytes { bytes -> ServerFrame? in
            guard let members = try? JSON.object(in: bytes, maxDepth: Self.maxDepth) else { return nil }
            guard let (key, value) = members.first else { return .heartbeat }
            guard let name = key.string else { return nil }
            if name == "message" || name == "gap" { return Self.frame(name, value.raw, cursor: nil) }
            return Self.frame(name, value, cursor: nil)
        }
    }

    /// An event as SSE carries it. nil for what is not known, and for `close`, which ``close(_:)`` reads.
    package static func frame(event name: String, _ data: [UInt8], cursor: String?) -> ServerFrame? {
        data.withUnsafeBytes { bytes -> ServerFrame? in
            if name.isEmpty || name == "message" { return Self.frame("message", bytes, cursor: cursor) }
            if name == "gap" { return Self.frame("gap", bytes, cursor: cursor) }
            if name == "hb" { return .heartbeat }
            guard let value = try? JSON.value(in: bytes, maxDepth: Self.maxDepth) else { return nil }
            return Self.frame(name, value, cursor: cursor)
        }
    }

    private static func frame(_ name: String, _ raw: UnsafeRawBufferPointer, cursor: String?) -> ServerFrame? {
        guard let members = try? JSON.object(in: raw, maxDepth: Self.maxDepth) else { return nil }
        return name == "gap" ? Self.gap(members, raw, cursor) : Self.message(members, raw, cursor)
    }

    private static func frame(_ name: String, _ value: JSONValue, cursor: String?) -> ServerFrame? {
        switch name {
        case "welcome": return .welcome(Self.welcome(Members(value), cursor))
        case "presence": return Self.presence(Members(value)).map { .presence($0) }
        case "subscribed":
            let topics = value.elements.map { Members($0) }
            return .subscribed(topics: topics.compactMap { $0.text("topic") }, cursor: topics.compactMap { $0.text("cursor") }.last ?? cursor)
        case "unsubscribed":
            // One for each; only those that the server ended by itself matter, and these come alone.
            let ended = (value.kind == .array ? value.elements : [value]).map { Members($0) }
            guard let one = ended.first(where: { $0.text("reason") == "forbidden" }) ?? ended.first, let topic = one.text("topic") else { return nil }
            return .unsubscribed(topic: topic, reason: one.text("reason") ?? "")
        case "published":
            let members = Members(value)
            guard let ref = members.number("ref"), let id = members.text("id") else { return nil }
            return .published(ref: Int(clamping: ref), id: id)
        case "renewed": return .renewed(expiresAtMs: Members(value).number("expiresAt").map { Int64(clamping: $0) })
        case "drain": return .drain(afterMs: Int64(clamping: Members(value).number("reconnectAfterMs") ?? 0))
        case "error":
            let members = Members(value)
            guard let asked = Self.asked(members) else { return nil }
            return .refused(Self.error(members), asked)
        default: return .sign
        }
    }

    private static func asked(_ members: Members) -> ServerFrame.Asked? {
        if let ref = members.number("ref") { return .publish(ref: Int(clamping: ref)) }
        return members.text("frame") == "subscribe" || members.text("topic") != nil ? .subscribe(topic: members.text("topic")) : nil
    }

    private static func welcome(_ members: Members, _ cursor: String?) -> Welcome {
        var welcome = Welcome()
        welcome.session = members.text("session") ?? ""
        welcome.heartbeatMs = members.number("heartbeatMs").map { Int64(clamping: $0) } ?? welcome.heartbeatMs
        welcome.retryMs = members.number("retryMs").map { Int64(clamping: min($0, 3_600_000)) }
        welcome.serverTimeMs = members.number("serverTime").map { Int64(clamping: $0) }
        welcome.expiresAtMs = members.number("expiresAt").map { Int64(clamping: $0) }
        welcome.cursor = members.text("cursor") ?? cursor
        welcome.device = members.text("device")
        return welcome
    }

    private static func message(_ pairs: [(key: JSONValue, value: JSONValue)], _ raw: UnsafeRawBufferPointer, _ cursor: String?) -> ServerFrame? {
        let members = Members(pairs)
        guard let id = members.text("id") else { return nil }
        var data = members.raw("data") ?? Data()
        let binary = members.text("dataBase64").flatMap { Data(base64Encoded: $0) }
        if let binary { data = binary }
        let isNumbered = pairs.contains { $0.key.equals("seq") || $0.key.equals("cursor") }
        return .message(
            IncomingMessage(
                seq: members.number("seq"), cursor: members.text("cursor") ?? cursor,
                message: Message(
                    id: id, at: Date(timeIntervalSince1970: Double(members.number("at") ?? 0) / 1_000), type: members.text("type"),
                    topic: members.text("topic"), priority: members.text("priority").flatMap { Message.Priority(rawValue: $0) },
                    isRedelivered: members.isTrue("redelivered"), isRetained: members.isTrue("retained"), data: data,
                    contentType: binary == nil ? nil : members.text("contentType") ?? "application/octet-stream",
                    notification: members.raw("notification"), json: isNumbered ? Self.withoutNumbers(pairs) : Data(raw))))
    }

    /// The object again, without what belongs to the connection.
    private static func withoutNumbers(_ pairs: [(key: JSONValue, value: JSONValue)]) -> Data {
        var output = Data("{".utf8)
        for (key, value) in pairs where !key.equals("seq") && !key.equals("cursor") {
            if output.count > 1 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: key.raw)
            output.append(UInt8(ascii: ":"))
            output.append(contentsOf: value.raw)
        }
        output.append(UInt8(ascii: "}"))
        return output
    }

    private static func gap(_ pairs: [(key: JSONValue, value: JSONValue)], _ raw: UnsafeRawBufferPointer, _ cursor: String?) -> ServerFrame {
        let members = Members(pairs)
        let isNumbered = pairs.contains { $0.key.equals("cursor") }
        return .gap(
            Gap(
                reason: members.text("reason") ?? "", scope: members.text("scope"), topic: members.text("topic"), from: members.number("from"),
                to: members.number("to"), json: isNumbered ? Self.withoutNumbers(pairs) : Data(raw)),
            cursor: members.text("cursor") ?? cursor)
    }

    private static func presence(_ members: Members) -> Presence? {
        guard let topic = members.text("topic") else { return nil }
        func people(_ name: StaticString) -> [Presence.Member] {
            members.elements(name).map { Members($0) }.map { Presence.Member(user: $0.text("user"), device: $0.text("device")) }
        }
        let (joined, left) = (people("joined"), people("left"))
        return Presence(
            topic: topic, count: Int(clamping: members.number("count") ?? 0), joined: joined, left: left,
            joinedCount: Int(clamping: members.number("joinedCount") ?? UInt64(joined.count)),
            leftCount: Int(clamping: members.number("leftCount") ?? UInt64(left.count)))
    }

    // MARK: Errors and ends

    /// The error of an HTTP answer or of a frame; nil if it has none.
    package static func error(inAnswer body: [UInt8]) -> MartletError? {
        body.withUnsafeBytes { bytes -> MartletError? in
            guard let value = try? JSON.value(in: bytes, maxDepth: Self.maxDepth), let error = Members(value).value("error") else { return nil }
            let members = Members(error)
            return members.text("code") == nil ? nil : Self.error(members)
        }
    }

    private static func error(_ members: Members) -> MartletError {
        let code = members.text("code") ?? "internal_error"
        return MartletError(
            .init(rawValue: code), members.text("message") ?? code, retryAfterMs: members.number("retryAfterMs").map { Int64(clamping: $0) })
    }

    /// The data of SSE's `close`.
    package static func close(_ data: [UInt8]) -> (code: Int, reason: String) {
        data.withUnsafeBytes { bytes in
            guard let value = try? JSON.value(in: bytes, maxDepth: Self.maxDepth) else { return (1_011, "") }
            let members = Members(value)
            return (Int(clamping: members.number("code") ?? 1_011), members.text("reason") ?? "")
        }
    }
}

/// The members of an object, by name.
struct Members {
    private let pairs: [(key: JSONValue, value: JSONValue)]
    init(_ value: JSONValue) { self.pairs = value.members }
    init(_ pairs: [(key: JSONValue, value: JSONValue)]) { self.pairs = pairs }

    func value(_ name: StaticString) -> JSONValue? { self.pairs.last { $0.key.equals(name) }?.value }
    func text(_ name: StaticString) -> String? { self.value(name)?.string }
    func number(_ name: StaticString) -> UInt64? { self.value(name)?.unsigned }
    func raw(_ name: StaticString) -> Data? { self.value(name).map { Data($0.raw) } }
    func isTrue(_ name: StaticString) -> Bool { self.value(name)?.kind == .true }
    func elements(_ name: StaticString) -> [JSONValue] { self.value(name)?.elements ?? [] }
}
