package import MartletCore
package import MartletWire
package import NIOCore

/// The JSON that devices see, the same on every transport. Documented in docs/protocol.md.
package enum DeliveryJSON {
    /// What a receiver gets of its own in a message, before the part that all receivers share.
    package struct Prefix: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let seq = Prefix(rawValue: 1)
        package static let cursor = Prefix(rawValue: 2)
    }

    /// Longest prefix, in bytes, with room to write it.
    static let maxPrefix = Cursor.maxTextLength + 192

    /// `{"seq":7,"cursor":"…","redelivered":true,` without what `prefix` leaves out; `{` if nothing is left.
    @inline(__always)
    static func prefix(_ delivery: borrowing Delivery, _ prefix: Prefix, into scratch: inout ByteScratch) {
        scratch.append("{")
        if prefix.contains(.seq) {
            scratch.append("\"seq\":")
            scratch.append(delivery.seq)
            scratch.append(",")
        }
        if prefix.contains(.cursor) {
            scratch.append("\"cursor\":\"")
            scratch.append(delivery.cursor)
            scratch.append("\",")
        }
        if delivery.redelivered { scratch.append("\"redelivered\":true,") }
    }

    /// A whole message: `{…}`.
    package static func message(_ delivery: borrowing Delivery, _ prefix: Prefix, into buffer: inout ByteBuffer) {
        let fragment = delivery.message.fragment
        withUnsafeTemporaryAllocation(byteCount: self.maxPrefix, alignment: 8) { memory in
            var scratch = ByteScratch(memory)
            self.prefix(delivery, prefix, into: &scratch)
            buffer.reserveCapacity(minimumWritableBytes: scratch.count + fragment.count + 1)
            buffer.writeBytes(scratch.bytes)
        }
        buffer.writeBytes(fragment)
        buffer.writeInteger(UInt8(ascii: "}"))
    }

    /// The answer to a hello: `{"session":"…","ack":"none",…}`.
    ///
    /// - Parameter withCursor: where the transport has no other place for it.
    package static func welcome(_ welcome: Welcome, withCursor: Bool) -> [UInt8] {
        var json: [UInt8] = []
        json.reserveCapacity(384)
        json.append(contentsOf: #"{"session":"#.utf8)
        JSON.append(welcome.session, to: &json)
        json.append(contentsOf: #","ack":"\#(welcome.ackMode.rawValue)","heartbeatMs":\#(welcome.heartbeatMs)"#.utf8)
        json.append(
            contentsOf: #","window":{"messages":\#(welcome.windowMessages),"bytes":\#(welcome.windowBytes)}"#.utf8)
        json.append(contentsOf: #","retryMs":\#(welcome.retryMs),"serverTime":\#(welcome.serverTime)"#.utf8)
        if let user = welcome.user {
            json.append(contentsOf: #","user":"#.utf8)
            JSON.append(user, to: &json)
        }
        if let device = welcome.device {
            json.append(contentsOf: #","device":"#.utf8)
            JSON.append(device, to: &json)
        }
        if let at = welcome.expiresAtMs { json.append(contentsOf: #","expiresAt":\#(at)"#.utf8) }
        if !welcome.topics.isEmpty {
            json.append(contentsOf: #","topics":"#.utf8)
            self.append(welcome.topics, to: &json)
        }
        if withCursor { json += self.cursor(welcome.cursor) }
        json.append(UInt8(ascii: "}"))
        return json
    }

    /// `{"reason":"inbox_full","scope":"user","priority":"low","from":3,"to":9}`.
    package static func gap(_ gap: GapNotice) -> [UInt8] {
        let scope =
            switch gap.scope {
            case .user: "user"
            case .device: "device"
            case .app: "app"
            }
        var json = #"{"reason":"\#(gap.reason.rawValue)","scope":"\#(scope)""#
        if let priority = gap.priority { json += #","priority":"\#(priority.name)""# }
        if let from = gap.from { json += #","from":\#(from)"# }
        if let to = gap.to { json += #","to":\#(to)"# }
        return Array((json + "}").utf8)
    }

    /// `{"reconnectAfterMs":1500}`.
    package static func drain(reconnectAfterMs: Int64) -> [UInt8] {
        Array(#"{"reconnectAfterMs":\#(reconnectAfterMs)}"#.utf8)
    }

    /// `{"code":4500,"reason":"taken over","reconnect":false}`.
    ///
    /// - Parameter retryAfterMs: where the transport has no other place for it.
    package static func close(_ code: CloseCode, retryAfterMs: Int64? = nil) -> [UInt8] {
        let time = retryAfterMs.map { #","reconnectAfterMs":\#($0)"# } ?? ""
        return Array(#"{"code":\#(code.rawValue),"reason":"\#(code.reason)","reconnect":\#(code.reconnect)\#(time)}"#.utf8)
    }
}
