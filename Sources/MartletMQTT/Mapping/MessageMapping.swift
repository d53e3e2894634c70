import MartletCore
import MartletWire
import NIOCore

/// A message, as a PUBLISH to a client: the opposite of ``PublishMapping``, and what other publishers' messages look like.
enum MessageMapping {
    /// - Parameters:
    ///   - version: 3.1.1 has no properties: they are not even put together.
    ///   - now: the server's clock, in milliseconds.
    /// - Returns: without packet identifier; its topic is empty if the message has none (an inbox's).
    static func publish(_ message: StoredMessage, _ version: MQTTVersion, now: Int64) -> MQTTPacket.Publish {
        var object: [UInt8] = [UInt8(ascii: "{")]
        object.reserveCapacity(message.fragment.count + 2)
        object.append(contentsOf: message.fragment)
        object.append(UInt8(ascii: "}"))
        return object.withUnsafeBytes { bytes in
            guard let members = try? JSON.object(in: bytes, maxDepth: 512) else {
                return MQTTPacket.Publish(topic: "", payload: ByteBuffer())
            }
            return self.publish(members, message, version, now: now)
        }
    }

    private static func publish(
        _ members: [(key: JSONValue, value: JSONValue)], _ message: StoredMessage, _ version: MQTTVersion, now: Int64
    ) -> MQTTPacket.Publish {
        var publish = MQTTPacket.Publish(topic: "", payload: ByteBuffer())
        var said = Said()
        for (key, value) in members {
            if key.equals("topic") {
                publish.topic = value.string ?? ""
            } else if key.equals("data") {
                publish.payload = message.marks.isJSON ? ByteBuffer(bytes: value.raw) : self.payload(value)
                said.isJSON = value.kind != .string
            } else if key.equals("dataBase64") {
                publish.payload = self.base64(value)
                said.isBinary = true
            } else if version == .v5 {
                said.take(key, value)
            }
        }
        if version == .v5 { publish.properties = said.properties(message, now: now) }
        return publish
    }

    /// A string's text; any other JSON as it is.
    private static func payload(_ value: JSONValue) -> ByteBuffer {
        guard value.kind == .string else { return ByteBuffer(bytes: value.raw) }
        if let plain = value.plainString { return ByteBuffer(bytes: plain) }
        return ByteBuffer(string: value.string ?? "")
    }

    /// What is base64; nothing if it is not.
    fileprivate static func base64(_ value: JSONValue) -> ByteBuffer {
        ByteBuffer(bytes: value.plainString.flatMap { Base64.decode($0) } ?? [])
    }
}

/// What a message says beside topic and data.
private struct Said {
    var isJSON = false
    var isBinary = false
    private var contentType: String?
    private var payloadFormat: String?
    private var responseTopic: String?
    private var correlation: ByteBuffer?
    private var pairs: [MQTTUserProperty] = []
    /// Of messages that were not published by MQTT.
    private var own: [MQTTUserProperty] = []

    mutating func take(_ key: JSONValue, _ value: JSONValue) {
        if key.equals("contentType") {
            self.contentType = value.string
        } else if key.equals("payloadFormat") {
            self.payloadFormat = value.string
        } else if key.equals("responseTopic") {
            self.responseTopic = value.string
        } else if key.equals("correlationData") {
            self.correlation = MessageMapping.base64(value)
        } else if key.equals("userProperties") {
            for pair in value.elements {
                let parts = pair.elements
                if parts.count == 2, let name = parts[0].string, let value = parts[1].string { self.pairs.append(.init(name, value)) }
            }
        } else if let name = key.string {
            // id, at, type, priority, notification.
            let text = value.string ?? String(decoding: value.raw, as: UTF8.self)
            if text.utf8.count <= Int(UInt16.max) { self.own.append(.init(name, text)) }
        }
    }

    func properties(_ message: StoredMessage, now: Int64) -> MQTTProperties {
        var properties = MQTTProperties()
        let marks = message.marks
        if let format = self.payloadFormat {
            properties.payloadIsUTF8 = format == "utf8"
        } else if !marks.isMQTT, !self.isBinary {
            properties.payloadIsUTF8 = true
        }
        if marks.hasExpiry { properties.messageExpiryInterval = UInt32(clamping: max(0, message.expiresAt - now + 999) / 1_000) }
        if let type = self.contentType {
            if !marks.isTypeAssumed { properties.contentType = type }
        } else if !marks.isMQTT, self.isJSON {
            properties.contentType = "application/json"
        }
        if let responseTopic = self.responseTopic { properties.responseTopic = responseTopic }
        if let correlation = self.correlation { properties.correlationData = correlation }
        let pairs = marks.isMQTT ? self.pairs : self.own + self.pairs
        if !pairs.isEmpty { properties.userProperties = pairs }
        return properties
    }
}
