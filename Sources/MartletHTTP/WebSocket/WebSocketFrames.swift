package import MartletCore
package import MartletWire
package import NIOCore

/// What the server says on `/v1/ws`: text frames of JSON with one member that names them.
package enum WebSocketFrames {
    /// `{"message":{"seq":1,"cursor":"…","redelivered":true?,…}}`.
    ///
    /// - Parameter seq: whether messages carry a sequence number (`ack=explicit`).
    package static func message(_ delivery: borrowing Delivery, seq: Bool = true, into buffer: inout ByteBuffer) {
        let fragment = delivery.message.fragment
        withUnsafeTemporaryAllocation(byteCount: DeliveryJSON.maxPrefix, alignment: 8) { memory in
            var scratch = ByteScratch(memory)
            scratch.append("{\"message\":")
            DeliveryJSON.prefix(delivery, seq ? [.seq, .cursor] : .cursor, into: &scratch)
            let count = scratch.count + fragment.count + 2
            buffer.reserveCapacity(minimumWritableBytes: count + WebSocketEncoder.headerLength(count))
            WebSocketEncoder.header(.text, count: count, into: &buffer)
            buffer.writeBytes(scratch.bytes)
        }
        buffer.writeBytes(fragment)
        buffer.writeStaticString("}}")
    }

    package static func welcome(_ welcome: Welcome, into buffer: inout ByteBuffer) {
        self.named("welcome", DeliveryJSON.welcome(welcome, withCursor: true), into: &buffer)
    }

    package static func gap(_ gap: GapNotice, into buffer: inout ByteBuffer) {
        self.named("gap", DeliveryJSON.gap(gap), into: &buffer)
    }

    package static func drain(reconnectAfterMs: Int64, into buffer: inout ByteBuffer) {
        self.named("drain", DeliveryJSON.drain(reconnectAfterMs: reconnectAfterMs), into: &buffer)
    }

    /// - Parameter json: what the client sent with its `ping`.
    package static func pong(_ json: [UInt8], into buffer: inout ByteBuffer) {
        self.named("pong", json, into: &buffer)
    }

    /// `{"error":{"code":"…","message":"…"}}`.
    package static func error(_ error: WireError, into buffer: inout ByteBuffer) {
        WebSocketEncoder.text(error.json, into: &buffer)
    }

    /// - Parameter visible: `{}` as text, which JavaScript sees; otherwise a ping.
    package static func heartbeat(visible: Bool, into buffer: inout ByteBuffer) {
        if visible {
            WebSocketEncoder.text("{}".utf8, into: &buffer)
        } else {
            WebSocketEncoder.ping(into: &buffer)
        }
    }

    private static func named(_ name: String, _ json: [UInt8], into buffer: inout ByteBuffer) {
        WebSocketEncoder.header(.text, count: json.count + name.utf8.count + 5, into: &buffer)
        buffer.writeString("{\"\(name)\":")
        buffer.writeBytes(json)
        buffer.writeStaticString("}")
    }
}
