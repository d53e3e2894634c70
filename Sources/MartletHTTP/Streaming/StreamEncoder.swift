package import MartletCore
import MartletNet
package import MartletWire
package import NIOCore

/// Writes `/v1/stream`: JSON objects with one member that names them, as on a WebSocket, framed in one of three ways.
package struct StreamEncoder: OneWayEncoder, Sendable {
    package enum Format: Sendable {
        /// A line for each.
        case ndjson
        /// A part for each (`multipart/x-mixed-replace`), with the cursor as a field of its header.
        case multipart
        /// A script for each, in an HTML page.
        case iframe(IframePage)
    }

    private let format: Format
    /// Whether messages carry a sequence number (`ack=explicit`).
    private let seq: Bool
    /// Whether heartbeats are objects, and not only white space.
    private let visibleHeartbeat: Bool

    package init(_ format: Format, seq: Bool = false, visibleHeartbeat: Bool = false) {
        self.format = format
        self.seq = seq
        self.visibleHeartbeat = visibleHeartbeat
    }

    func head(into buffer: inout ByteBuffer) {
        switch self.format {
        case .ndjson:
            buffer.writeStaticString(
                "content-type: application/x-ndjson\r\ncache-control: no-cache, no-transform\r\nx-content-type-options: nosniff\r\n")
        case .multipart:
            buffer.writeStaticString(
                "content-type: multipart/x-mixed-replace; boundary=martlet\r\ncache-control: no-cache, no-transform\r\n")
        case .iframe(let page):
            buffer.writeString("content-type: \(IframePage.contentType)\r\n")
            for (name, value) in page.headers { buffer.writeString("\(name): \(value)\r\n") }
        }
    }

    package func welcome(_ welcome: Welcome, into buffer: inout ByteBuffer) {
        switch self.format {
        case .ndjson: break
        case .multipart: buffer.writeStaticString("--martlet\r\n")
        case .iframe(let page): page.begin(into: &buffer)
        }
        let json = DeliveryJSON.welcome(welcome, withCursor: self.holdsCursor)
        self.frame("welcome", json, cursor: welcome.cursor, into: &buffer)
    }

    /// Whether the JSON has the cursor, because there is no other place for it.
    private var holdsCursor: Bool { if case .multipart = self.format { false } else { true } }

    package func message(_ delivery: borrowing Delivery, into buffer: inout ByteBuffer) {
        var prefix: DeliveryJSON.Prefix = self.seq ? .seq : []
        if self.holdsCursor { prefix.insert(.cursor) }
        var json = ByteBufferAllocator().buffer(capacity: delivery.message.fragment.count + DeliveryJSON.maxPrefix)
        DeliveryJSON.message(delivery, prefix, into: &json)
        if delivery.message.hasLineBreaks { json.joinLines() }
        self.frame("message", json, cursor: delivery.cursor, into: &buffer)
    }

    func message(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput) {
        switch self.format {
        case .ndjson: TopicFrames.stream(delivery, self, (.ndjson, .ndjsonWithCursor), to: &output)
        case .multipart: TopicFrames.stream(delivery, self, (.multipart, .multipartWithCursor), to: &output)
        // Each page has a function and a nonce of its own.
        case .iframe: TopicFrames.own(delivery, self, to: &output)
        }
    }

    /// A message of a topic.
    func message(_ message: StoredMessage, isRetained: Bool, cursor: Cursor?, into buffer: inout ByteBuffer) {
        var json = ByteBufferAllocator().buffer(capacity: message.fragment.count + (cursor?.textRoom ?? 0) + 40)
        json.writeStaticString("{")
        if self.holdsCursor, let cursor {
            json.writeStaticString(#""cursor":""#)
            json.writeCursor(cursor)
            json.writeStaticString(#"","#)
        }
        if isRetained { json.writeStaticString(#""retained":true,"#) }
        json.writeBytes(message.fragment)
        json.writeStaticString("}")
        if message.hasLineBreaks { json.joinLines() }
        self.frame("message", json, cursor: cursor, into: &buffer)
    }

    package func gap(_ gap: GapNotice, into buffer: inout ByteBuffer) { self.frame("gap", DeliveryJSON.gap(gap), into: &buffer) }

    package func gap(_ gap: TopicGap, cursor: Cursor, into buffer: inout ByteBuffer) {
        self.frame("gap", DeliveryJSON.gap(gap, cursor: self.holdsCursor ? cursor : nil), cursor: cursor, into: &buffer)
    }

    package func subscribed(_ notices: [SubscribedNotice], cursor: Cursor, into buffer: inout ByteBuffer) {
        self.frame("subscribed", DeliveryJSON.subscribed(notices, cursor: self.holdsCursor ? cursor : nil), cursor: cursor, into: &buffer)
    }

    package func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason, into buffer: inout ByteBuffer) {
        let json = [UInt8(ascii: "[")] + DeliveryJSON.unsubscribed(filter, reason) + [UInt8(ascii: "]")]
        self.frame("unsubscribed", json, into: &buffer)
    }

    package func presence(_ event: PresenceEvent, into buffer: inout ByteBuffer) {
        self.frame("presence", DeliveryJSON.presence(event), into: &buffer)
    }

    package func heartbeat(into buffer: inout ByteBuffer) {
        switch self.format {
        // There is no white space between parts.
        case .multipart: self.object(ByteBuffer(string: "{}"), cursor: nil, into: &buffer)
        case .ndjson, .iframe:
            if self.visibleHeartbeat {
                self.object(ByteBuffer(string: "{}"), cursor: nil, into: &buffer)
            } else {
                buffer.writeStaticString("\n")
            }
        }
    }

    package func drain(reconnectAfterMs: Int64, into buffer: inout ByteBuffer) {
        self.frame("drain", DeliveryJSON.drain(reconnectAfterMs: reconnectAfterMs), into: &buffer)
        self.end(into: &buffer)
    }

    package func close(_ code: CloseCode, retryAfterMs: Int64?, into buffer: inout ByteBuffer) {
        self.frame("close", DeliveryJSON.close(code, retryAfterMs: retryAfterMs), into: &buffer)
        self.end(into: &buffer)
    }

    func refusal(_ error: WireError, extra: String, into buffer: inout ByteBuffer) {
        guard case .iframe(let page) = self.format else { return RawResponse.write(error, extra: extra, to: &buffer) }
        let lines = page.headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        RawResponse.write(
            error, extra: extra + lines, body: (IframePage.contentType, page.only(ByteBuffer(bytes: error.json))), to: &buffer)
    }

    // MARK: Framing

    private func frame(_ name: StaticString, _ json: [UInt8], cursor: Cursor? = nil, into buffer: inout ByteBuffer) {
        self.frame(name, ByteBuffer(bytes: json), cursor: cursor, into: &buffer)
    }

    /// `{"name":json}` in its frame.
    private func frame(_ name: StaticString, _ json: ByteBuffer, cursor: Cursor?, into buffer: inout ByteBuffer) {
        var object = ByteBufferAllocator().buffer(capacity: json.readableBytes + name.utf8CodeUnitCount + 5)
        object.writeStaticString("{\"")
        object.writeStaticString(name)
        object.writeStaticString("\":")
        object.writeImmutableBuffer(json)
        object.writeStaticString("}")
        self.object(object, cursor: cursor, into: &buffer)
    }

    private func object(_ json: ByteBuffer, cursor: Cursor?, into buffer: inout ByteBuffer) {
        switch self.format {
        case .ndjson:
            buffer.writeImmutableBuffer(json)
            buffer.writeStaticString("\n")
        case .iframe(let page): page.call(json, into: &buffer)
        case .multipart:
            buffer.writeString("content-type: application/json\r\ncontent-length: \(json.readableBytes)\r\n")
            if let cursor {
                buffer.writeStaticString("martlet-cursor: ")
                buffer.writeCursor(cursor)
                buffer.writeStaticString("\r\n")
            }
            buffer.writeStaticString("\r\n")
            buffer.writeImmutableBuffer(json)
            // The boundary ends a part, so it comes with the part: no JSON holds it, whose strings have no line breaks.
            buffer.writeStaticString("\r\n--martlet\r\n")
        }
    }

    /// After the last frame.
    private func end(into buffer: inout ByteBuffer) {
        switch self.format {
        case .ndjson: break
        case .multipart:
            // In the place of the boundary that was to begin the next part.
            buffer.moveWriterIndex(to: buffer.writerIndex - 2)
            buffer.writeStaticString("--\r\n")
        case .iframe: buffer.writeStaticString("</body></html>\n")
        }
    }
}

extension ByteBuffer {
    /// Makes spaces of line breaks, which in checked JSON stand between tokens only.
    fileprivate mutating func joinLines() {
        self.withUnsafeMutableReadableBytes { bytes in
            for index in bytes.indices where bytes[index] == 0x0a || bytes[index] == 0x0d { bytes[index] = 0x20 }
        }
    }
}
