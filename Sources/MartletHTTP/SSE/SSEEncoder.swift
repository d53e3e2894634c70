package import MartletCore
import MartletNet
package import MartletWire
package import NIOCore

/// Writes server-sent events (WHATWG HTML §9.2).
///
/// A message has no `event:`, so that `onmessage` sees it; everything else is named. `id:` is the cursor, which an
/// EventSource presents when it comes back; on RAMEN it is the sequence number.
package struct SSEEncoder: OneWayEncoder, Sendable {
    package enum Style: Sendable {
        /// `/v1/sse`. `seq`: whether messages carry one (`ack=explicit`).
        case events(seq: Bool)
        /// `/ramen/receive`.
        case ramen
    }

    package var style: Style
    /// Whether heartbeats are events that JavaScript sees, not comments.
    package var visibleHeartbeat: Bool

    package init(_ style: Style, visibleHeartbeat: Bool = false) {
        self.style = style
        self.visibleHeartbeat = visibleHeartbeat
    }

    func head(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("content-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\n")
    }

    package func welcome(_ welcome: Welcome, into buffer: inout ByteBuffer) {
        buffer.writeString("retry: \(welcome.retryMs)\nevent: welcome\n")
        if case .events = self.style {
            var id = Array("id: ".utf8)
            welcome.cursor.append(to: &id)
            id.append(0x0a)
            buffer.writeBytes(id)
        }
        self.data(DeliveryJSON.welcome(welcome, withCursor: false), into: &buffer)
    }

    package func message(_ delivery: borrowing Delivery, into buffer: inout ByteBuffer) {
        let message = delivery.message
        withUnsafeTemporaryAllocation(byteCount: DeliveryJSON.maxPrefix, alignment: 8) { memory in
            var scratch = ByteScratch(memory)
            scratch.append("id: ")
            var prefix = DeliveryJSON.Prefix.seq
            switch self.style {
            case .ramen: scratch.append(delivery.seq)
            case .events(let seq):
                scratch.append(delivery.cursor)
                if !seq { prefix = [] }
            }
            scratch.append("\ndata: ")
            DeliveryJSON.prefix(delivery, prefix, into: &scratch)
            buffer.reserveCapacity(minimumWritableBytes: scratch.count + message.fragment.count + 3)
            buffer.writeBytes(scratch.bytes)
        }
        if message.hasLineBreaks {
            Self.lines(message.fragment, into: &buffer)
        } else {
            buffer.writeBytes(message.fragment)
        }
        buffer.writeStaticString("}\n\n")
    }

    func message(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput) { TopicFrames.sse(delivery, to: &output) }

    package func gap(_ gap: GapNotice, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("event: gap\n")
        self.data(DeliveryJSON.gap(gap), into: &buffer)
    }

    /// - Parameter cursor: the place after it.
    package func gap(_ gap: TopicGap, cursor: Cursor, into buffer: inout ByteBuffer) {
        self.id(cursor, into: &buffer)
        buffer.writeStaticString("event: gap\n")
        self.data(DeliveryJSON.gap(gap), into: &buffer)
    }

    /// - Parameter cursor: the place with all of them.
    package func subscribed(_ notices: [SubscribedNotice], cursor: Cursor, into buffer: inout ByteBuffer) {
        self.id(cursor, into: &buffer)
        buffer.writeStaticString("event: subscribed\n")
        self.data(DeliveryJSON.subscribed(notices), into: &buffer)
    }

    private func id(_ cursor: Cursor, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("id: ")
        buffer.writeCursor(cursor)
        buffer.writeStaticString("\n")
    }

    package func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("event: unsubscribed\n")
        self.data(DeliveryJSON.unsubscribed(filter, reason), into: &buffer)
    }

    package func presence(_ event: PresenceEvent, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("event: presence\n")
        self.data(DeliveryJSON.presence(event), into: &buffer)
    }

    package func heartbeat(into buffer: inout ByteBuffer) {
        buffer.writeStaticString(self.visibleHeartbeat ? "event: hb\ndata: {}\n\n" : ":\n\n")
    }

    package func drain(reconnectAfterMs: Int64, into buffer: inout ByteBuffer) {
        buffer.writeString("retry: \(reconnectAfterMs)\nevent: drain\n")
        self.data(DeliveryJSON.drain(reconnectAfterMs: reconnectAfterMs), into: &buffer)
    }

    /// - Parameter retryAfterMs: when to come back, if the code says to.
    package func close(_ code: CloseCode, retryAfterMs: Int64? = nil, into buffer: inout ByteBuffer) {
        if let retryAfterMs { buffer.writeString("retry: \(retryAfterMs)\n") }
        buffer.writeStaticString("event: close\n")
        self.data(DeliveryJSON.close(code), into: &buffer)
    }

    /// The last field of an event. JSON of our own has no line breaks.
    private func data(_ json: [UInt8], into buffer: inout ByteBuffer) {
        buffer.writeStaticString("data: ")
        buffer.writeBytes(json)
        buffer.writeStaticString("\n\n")
    }

    /// The last field of a topic's message.
    static func data(_ message: StoredMessage, isRetained: Bool = false, into buffer: inout ByteBuffer) {
        buffer.writeStaticString(isRetained ? #"data: {"retained":true,"# : "data: {")
        if message.hasLineBreaks {
            self.lines(message.fragment, into: &buffer)
        } else {
            buffer.writeBytes(message.fragment)
        }
        buffer.writeStaticString("}\n\n")
    }

    /// Goes on with a new `data:` line at each CR, LF or CRLF, which the reader joins with LF: white space in JSON.
    private static func lines(_ bytes: [UInt8], into buffer: inout ByteBuffer) {
        var start = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            guard byte == 0x0a || byte == 0x0d else { continue }
            buffer.writeBytes(bytes[start..<index - 1])
            buffer.writeStaticString("\ndata: ")
            if byte == 0x0d, index < bytes.count, bytes[index] == 0x0a { index += 1 }
            start = index
        }
        buffer.writeBytes(bytes[start...])
    }
}
