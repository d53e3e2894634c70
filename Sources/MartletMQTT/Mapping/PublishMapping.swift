import MartletCore
import MartletWire
import NIOCore

/// What a client publishes, as a message of a topic (docs/mqtt.md).
///
/// A payload that is a JSON object or array is `data` as it is; with the content type `application/json` any JSON value is. Other UTF-8 is
/// a JSON string, all else `dataBase64`. So what comes out for MQTT is what went in, byte for byte.
struct PublishMapping {
    let app: AppID
    let limits: Limits

    /// - Parameters:
    ///   - topic: resolved, not checked.
    ///   - properties: of the PUBLISH or the will.
    /// - Throws: 0x90 for a topic that cannot be published to.
    func request(
        topic: String, payload: ByteBuffer, qos: MQTTQoS, retain: Bool, properties: MQTTProperties
    ) throws(MQTTError) -> AppendRequest {
        guard MQTTTopicName.isValid(topic), !topic.utf8.starts(with: "$".utf8) else {
            throw MQTTError(.topicNameInvalid, "this topic is not one to publish to")
        }
        if let problem = topicProblem(topic, self.limits, wildcards: false) { throw MQTTError(.topicNameInvalid, "the topic \(problem)") }
        var marks = MessageMarks()
        marks.isMQTT = true
        marks.qos = qos.rawValue
        marks.isRetained = retain
        var request = AppendRequest(
            app: self.app, targets: [], ttl: self.limits.ttlMaxSeconds, topic: TopicAppend(name: topic), members: [])
        if let expiry = properties.messageExpiryInterval {
            marks.hasExpiry = true
            request.ttl = min(Int(expiry), self.limits.ttlMaxSeconds)
        }
        if retain { request.topic?.retain = payload.readableBytes == 0 ? .clear : request.ttl > 0 ? .set : .leave }
        request.members = self.members(topic, payload, properties, &marks)
        request.marks = marks
        return request
    }

    private func members(_ topic: String, _ payload: ByteBuffer, _ properties: MQTTProperties, _ marks: inout MessageMarks) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(payload.readableBytes + topic.utf8.count + 48)
        output.append(contentsOf: #""topic":"#.utf8)
        JSON.append(topic, to: &output)
        let contentType = properties.isEmpty ? nil : properties.contentType
        let isText = payload.withUnsafeReadableBytes { self.append($0, contentType, to: &output, &marks) }
        if let contentType {
            Self.append("contentType", contentType, to: &output)
        } else if !isText {
            marks.isTypeAssumed = true
            Self.append("contentType", "application/octet-stream", to: &output)
        }
        guard !properties.isEmpty else { return output }
        if let isUTF8 = properties.payloadIsUTF8 { Self.append("payloadFormat", isUTF8 ? "utf8" : "bytes", to: &output) }
        if let responseTopic = properties.responseTopic { Self.append("responseTopic", responseTopic, to: &output) }
        if let correlation = properties.correlationData {
            output.append(contentsOf: #","correlationData":""#.utf8)
            correlation.withUnsafeReadableBytes { Base64.append($0, to: &output) }
            output.append(UInt8(ascii: "\""))
        }
        let pairs = properties.userProperties
        guard !pairs.isEmpty else { return output }
        output.append(contentsOf: #","userProperties":["#.utf8)
        for (index, pair) in pairs.enumerated() {
            output.append(contentsOf: index == 0 ? "[".utf8 : ",[".utf8)
            JSON.append(pair.name, to: &output)
            output.append(UInt8(ascii: ","))
            JSON.append(pair.value, to: &output)
            output.append(UInt8(ascii: "]"))
        }
        output.append(UInt8(ascii: "]"))
        return output
    }

    /// - Returns: whether it is text or JSON.
    private func append(
        _ payload: UnsafeRawBufferPointer, _ contentType: String?, to output: inout [UInt8], _ marks: inout MessageMarks
    ) -> Bool {
        guard UTF8Check.isValid(payload) else {
            output.append(contentsOf: #","dataBase64":""#.utf8)
            Base64.append(payload, to: &output)
            output.append(UInt8(ascii: "\""))
            return false
        }
        output.append(contentsOf: #","data":"#.utf8)
        if self.isJSON(payload, contentType) {
            marks.isJSON = true
            output.append(contentsOf: payload)
        } else {
            JSON.append(utf8: payload, to: &output)
        }
        return true
    }

    /// Whether it goes as it is. A string does only if it is said to be JSON: otherwise it could not be told from text.
    private func isJSON(_ payload: UnsafeRawBufferPointer, _ contentType: String?) -> Bool {
        guard let first = payload.first else { return false }
        let isAnyJSON = contentType == Self.json
        guard isAnyJSON || first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else { return false }
        guard let value = try? JSON.value(in: payload, maxDepth: self.limits.jsonDepth) else { return false }
        return value.raw.count == payload.count
    }

    /// The content type of JSON (RFC 8259 §11).
    static let json = "application/json"

    private static func append(_ name: StaticString, _ value: String, to output: inout [UInt8]) {
        output.append(contentsOf: ",\"\(name)\":".utf8)
        JSON.append(value, to: &output)
    }
}
