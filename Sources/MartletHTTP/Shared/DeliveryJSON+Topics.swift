package import MartletCore
import MartletWire
package import NIOCore

/// What is said about topics.
extension DeliveryJSON {
    /// A message of a topic, `{…}`, without its place.
    package static func message(_ message: StoredMessage, isRetained: Bool = false, into buffer: inout ByteBuffer) {
        buffer.reserveCapacity(minimumWritableBytes: message.fragment.count + 20)
        buffer.writeStaticString(isRetained ? #"{"retained":true,"# : "{")
        buffer.writeBytes(message.fragment)
        buffer.writeInteger(UInt8(ascii: "}"))
    }

    /// `[{"topic":"a","count":3}]`.
    ///
    /// - Parameter cursor: the place with all of them, said with the last.
    static func append(_ notices: [SubscribedNotice], cursor: Cursor? = nil, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "["))
        for (index, notice) in notices.enumerated() {
            json.append(contentsOf: index > 0 ? #",{"topic":"#.utf8 : #"{"topic":"#.utf8)
            JSON.append(notice.filter.text, to: &json)
            if let count = notice.count { json.append(contentsOf: #","count":\#(count)"#.utf8) }
            if let cursor, index == notices.count - 1 { json += self.cursor(cursor) }
            json.append(UInt8(ascii: "}"))
        }
        json.append(UInt8(ascii: "]"))
    }

    package static func subscribed(_ notices: [SubscribedNotice], cursor: Cursor? = nil) -> [UInt8] {
        var json: [UInt8] = []
        self.append(notices, cursor: cursor, to: &json)
        return json
    }

    /// `{"topic":"a","reason":"requested"}`.
    package static func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) -> [UInt8] {
        var json = Array(#"{"topic":"#.utf8)
        JSON.append(filter.text, to: &json)
        json.append(contentsOf: #","reason":"\#(reason.rawValue)"}"#.utf8)
        return json
    }

    /// `{"reason":"trimmed","topic":"a","from":3,"to":9,"cursor":"AQ…"}`.
    ///
    /// - Parameter cursor: nil where it is told elsewhere.
    package static func gap(_ gap: TopicGap, cursor: Cursor? = nil) -> [UInt8] {
        var json = Array(#"{"reason":"\#(gap.reason.rawValue)","topic":"#.utf8)
        JSON.append(gap.topic, to: &json)
        if let from = gap.from { json.append(contentsOf: #","from":\#(from)"#.utf8) }
        if let to = gap.to { json.append(contentsOf: #","to":\#(to)"#.utf8) }
        if let cursor { json += self.cursor(cursor) }
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// `,"cursor":"AQ…"`, as a further member.
    package static func cursor(_ cursor: Cursor) -> [UInt8] {
        var json = Array(#","cursor":""#.utf8)
        cursor.append(to: &json)
        json.append(UInt8(ascii: "\""))
        return json
    }

    /// `{"topic":"a","count":2,"joined":[{"user":"alice","device":"a1"}],"left":[],"joinedCount":1,"leftCount":0}`.
    package static func presence(_ event: PresenceEvent) -> [UInt8] {
        var json = Array(#"{"topic":"#.utf8)
        JSON.append(event.topic, to: &json)
        json.append(contentsOf: #","count":\#(event.count),"joined":"#.utf8)
        self.append(event.joined, to: &json)
        json.append(contentsOf: #","left":"#.utf8)
        self.append(event.left, to: &json)
        json.append(contentsOf: #","joinedCount":\#(event.joinedCount),"leftCount":\#(event.leftCount)}"#.utf8)
        return json
    }

    /// `[{"user":"alice","device":"a1"}]`, without what a member does not have.
    static func append(_ members: [PresenceMember], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "["))
        for (index, member) in members.enumerated() {
            json.append(contentsOf: index > 0 ? ",{".utf8 : "{".utf8)
            if let user = member.user {
                json.append(contentsOf: #""user":"#.utf8)
                JSON.append(user, to: &json)
            }
            if let device = member.device {
                json.append(contentsOf: member.user == nil ? #""device":"#.utf8 : #","device":"#.utf8)
                JSON.append(device, to: &json)
            }
            json.append(UInt8(ascii: "}"))
        }
        json.append(UInt8(ascii: "]"))
    }
}
