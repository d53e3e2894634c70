package import MartletCore
package import MartletWire

/// Makes the message of a polled answer: JSON as it came, text as a JSON string, everything else as base64.
package struct PolledMessage {
    package enum Target {
        case topic(String)
        /// - Parameter collapseKey: so that only the newest counts.
        case user(String, collapseKey: String)
    }

    package var target: Target
    package var type: String?
    /// In seconds.
    package var ttl: Int

    package init(target: Target, type: String?, ttl: Int) {
        self.target = target
        self.type = type
        self.ttl = ttl
    }

    /// - Parameters:
    ///   - body: untrusted; any bytes.
    ///   - contentType: as the server said it.
    /// - Throws: `invalid_json` for what says that it is JSON and is not, `message_too_large`.
    package func request(_ body: [UInt8], contentType: String?, _ parser: PublishParser) throws(WireError) -> AppendRequest {
        var message = Array("{".utf8)
        switch self.target {
        case .topic(let topic):
            message += Array(#""to":{"topic":"#.utf8)
            JSON.append(topic, to: &message)
            message += Array(#"},"retain":true"#.utf8)
        case .user(let user, let collapseKey):
            message += Array(#""to":{"user":"#.utf8)
            JSON.append(user, to: &message)
            message += Array(#"},"collapseKey":"#.utf8)
            JSON.append(collapseKey, to: &message)
        }
        message += Array(#","ttl":\#(self.ttl)"#.utf8)
        if let type = self.type {
            message += Array(#","type":"#.utf8)
            JSON.append(type, to: &message)
        }
        try Self.append(body, contentType, parser.limits, to: &message)
        message.append(UInt8(ascii: "}"))
        return try parser.parse(message)
    }

    private static func append(_ body: [UInt8], _ contentType: String?, _ limits: Limits, to message: inout [UInt8]) throws(WireError) {
        let type = (contentType ?? "text/plain").lowercased().filter { $0 != " " }.split(separator: ";")
        let name = type.first ?? ""
        let charset = type.dropFirst().first { $0.hasPrefix("charset=") }?.dropFirst(8).filter { $0 != "\"" }
        if name == "application/json" || name.hasSuffix("+json") {
            // Alone it must be one value: what else it holds must not become members of the message.
            let value = try body.withUnsafeBytesTyped { (bytes) throws(WireError) in
                Array(try JSON.value(in: bytes, maxDepth: limits.jsonDepth).raw)
            }
            message += Array(#","data":"#.utf8) + value
        } else if name.hasPrefix("text/"), ["utf-8", "utf8", "us-ascii"].contains(charset ?? "utf-8"), String(validating: body, as: UTF8.self) != nil
        {
            message += Array(#","data":"#.utf8)
            body.withUnsafeBytes { JSON.append(utf8: $0, to: &message) }
        } else {
            message += Array(#","dataBase64":""#.utf8)
            body.withUnsafeBytes { Base64.append($0, to: &message) }
            message += Array(#"","contentType":"#.utf8)
            JSON.append(contentType ?? "text/plain", to: &message)
        }
    }
}

extension [UInt8] {
    fileprivate func withUnsafeBytesTyped<Result>(_ body: (UnsafeRawBufferPointer) throws(WireError) -> Result) throws(WireError) -> Result {
        try self.withUnsafeBufferPointer { (buffer) throws(WireError) in try body(UnsafeRawBufferPointer(buffer)) }
    }
}
