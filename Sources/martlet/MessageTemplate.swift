import MartletWire

/// All of a message but its data and idempotency key.
struct MessageTemplate {
    /// `{"to":{…},…` without the closing brace.
    private let head: [UInt8]

    init(
        users: [String], devices: [String], topic: String?, all: Bool, type: String?, priority: String?, ttl: Int?, collapseKey: String?,
        retain: Bool
    ) {
        var json = Array(#"{"to":{"#.utf8)
        if all {
            json += #""all":true"#.utf8
        } else if let topic {
            json += #""topic":"#.utf8
            JSON.append(topic, to: &json)
        } else {
            let names = users.isEmpty ? devices : users
            json += (users.isEmpty ? #""devices":["# : #""users":["#).utf8
            for (index, name) in names.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                JSON.append(name, to: &json)
            }
            json.append(UInt8(ascii: "]"))
        }
        json.append(UInt8(ascii: "}"))
        for (name, value) in [("type", type), ("priority", priority), ("collapseKey", collapseKey)] {
            guard let value else { continue }
            json += #","\#(name)":"#.utf8
            JSON.append(value, to: &json)
        }
        if let ttl { json += #","ttl":\#(ttl)"#.utf8 }
        if retain { json += #","retain":true"#.utf8 }
        self.head = json
    }

    /// The message with this data: as it is if it is JSON, otherwise as a JSON string. The data must be UTF-8.
    func message(_ data: [UInt8], key: String) -> [UInt8] {
        var json = self.head
        json += #","idempotencyKey":"#.utf8
        JSON.append(key, to: &json)
        json += #","data":"#.utf8
        if Self.isJSON(data) {
            json += data
        } else {
            JSON.append(String(decoding: data, as: UTF8.self), to: &json)
        }
        json.append(UInt8(ascii: "}"))
        return json
    }

    private static func isJSON(_ data: [UInt8]) -> Bool {
        data.withUnsafeBytes { bytes in
            do throws(WireError) {
                _ = try JSON.value(in: bytes, maxDepth: 512)
                return true
            } catch {
                // Nested too deep is JSON all the same: the server says so.
                return error.code != .invalidJSON
            }
        }
    }

    /// 128 random bits.
    static func randomKey() -> String {
        var random = SystemRandomNumberGenerator()
        var text: [UInt8] = []
        var bytes: [UInt8] = []
        for _ in 0..<16 { bytes.append(UInt8.random(in: 0...255, using: &random)) }
        Base64URL.encode(bytes, into: &text)
        return String(decoding: text, as: UTF8.self)
    }
}
