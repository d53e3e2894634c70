import MartletCore
import MartletWire

/// The JSON of answers about a topic. Each ends with a line break.
enum TopicJSON {
    static func message(_ message: StoredMessage) -> [UInt8] {
        var json: [UInt8] = []
        self.append(message, to: &json)
        json.append(0x0a)
        return json
    }

    static func history(_ messages: [StoredMessage], gap: TopicGap?, next: String?) -> [UInt8] {
        var json = Array(#"{"messages":["#.utf8)
        json.reserveCapacity(messages.reduce(64) { $0 + $1.fragment.count + 3 })
        for (index, message) in messages.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            self.append(message, to: &json)
        }
        json.append(UInt8(ascii: "]"))
        if let gap { json.append(contentsOf: #","gap":"#.utf8 + DeliveryJSON.gap(gap)) }
        if let next { json.append(contentsOf: #","next":"\#(next)""#.utf8) }
        json.append(contentsOf: "}\n".utf8)
        return json
    }

    static func presence(_ page: PresencePage) -> [UInt8] {
        var json = Array(#"{"count":\#(page.count),"members":"#.utf8)
        DeliveryJSON.append(page.members, to: &json)
        if let next = page.next { json.append(contentsOf: #","next":"\#(PresencePlace.text(next))""#.utf8) }
        json.append(contentsOf: "}\n".utf8)
        return json
    }

    static func info(_ topic: String, _ info: TopicInfo) -> [UInt8] {
        var json = Array(#"{"topic":"#.utf8)
        JSON.append(topic, to: &json)
        json.append(contentsOf: #","subscribers":\#(info.subscribers)"#.utf8)
        if let log = info.log {
            json.append(contentsOf: #","history":{"messages":\#(log.messages),"bytes":\#(log.bytes)"#.utf8)
            if let first = log.first { json.append(contentsOf: #","first":\#(first)"#.utf8) }
            if let last = log.last { json.append(contentsOf: #","last":\#(last)"#.utf8) }
            json.append(UInt8(ascii: "}"))
        }
        json.append(contentsOf: #","retained":\#(info.hasRetained),"options":"#.utf8)
        TopicOptionsJSON.append(info.options, to: &json)
        json.append(contentsOf: "}\n".utf8)
        return json
    }

    private static func append(_ message: StoredMessage, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "{"))
        json.append(contentsOf: message.fragment)
        json.append(UInt8(ascii: "}"))
    }
}
