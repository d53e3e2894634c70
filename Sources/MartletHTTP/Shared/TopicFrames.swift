package import MartletCore
package import MartletNet
import NIOCore

/// Encodes messages of topics: once for each form and loop, then every receiver gets the same bytes.
///
/// A receiver whose place is its own gets it before the shared part. Retained values and places of one's own are rare beside what
/// is published live.
package enum TopicFrames {
    // MARK: SSE

    /// Appends an event: `id:` with the place, if there is one, and `data:`.
    @inline(__always)
    package static func sse(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput) {
        let hasOwnPlace = delivery.cursor != nil && !delivery.isCursorShared
        guard !delivery.isRetained, !hasOwnPlace else { return self.ownSSE(delivery, to: &output) }
        let form: SharedFrames.Form = delivery.cursor == nil ? .sse : .sseWithCursor
        if let frame = delivery.frames[form] as? SharedFrame { return output.append(frame) }
        output.append(self.makeSSE(delivery.message, delivery.cursor, delivery.frames))
    }

    @inline(never)
    private static func makeSSE(_ message: StoredMessage, _ cursor: Cursor?, _ frames: SharedFrames) -> SharedFrame {
        var buffer = ByteBufferAllocator().buffer(capacity: message.fragment.count + (cursor?.textRoom ?? 0) + 24)
        if let cursor { self.id(cursor, into: &buffer) }
        SSEEncoder.data(message, into: &buffer)
        let frame = SharedFrame(buffer)
        frames[cursor == nil ? .sse : .sseWithCursor] = frame
        return frame
    }

    @inline(never)
    private static func ownSSE(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput) {
        let message = delivery.message
        let cursor = delivery.cursor
        if delivery.isRetained {
            output.append(message.fragment.count + (cursor?.textRoom ?? 0) + 48) { buffer in
                if let cursor { self.id(cursor, into: &buffer) }
                SSEEncoder.data(message, isRetained: true, into: &buffer)
            }
            return
        }
        let frames = delivery.frames
        let shared = frames[.sse] as? SharedFrame ?? self.makeSSE(message, nil, frames)
        if let cursor {
            // Room for the rest too, which is copied if it is short.
            output.append(shared.bytes.readableBytes + cursor.textRoom + 8) { self.id(cursor, into: &$0) }
        }
        output.append(shared)
    }

    private static func id(_ cursor: Cursor, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("id: ")
        buffer.writeCursor(cursor)
        buffer.writeInteger(UInt8(0x0a))
    }

    // MARK: WebSocket

    /// Appends a text frame: `{"message":{"cursor":"…",…}}`, without the cursor if there is none.
    @inline(__always)
    package static func webSocket(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput) {
        let hasOwnPlace = delivery.cursor != nil && !delivery.isCursorShared
        guard !delivery.isRetained, !hasOwnPlace else { return self.ownWebSocket(delivery, to: &output) }
        let form: SharedFrames.Form = delivery.cursor == nil ? .websocket : .websocketWithCursor
        if let frame = delivery.frames[form] as? SharedFrame { return output.append(frame) }
        output.append(self.makeWebSocket(delivery.message, delivery.cursor, delivery.frames))
    }

    @inline(never)
    static func makeWebSocket(_ message: StoredMessage, _ cursor: Cursor?, _ frames: SharedFrames) -> SharedFrame {
        var buffer = ByteBufferAllocator().buffer(capacity: message.fragment.count + (cursor?.textRoom ?? 0) + 40)
        self.frame(message, cursor, isRetained: false, into: &buffer)
        let frame = SharedFrame(buffer)
        frames[cursor == nil ? .websocket : .websocketWithCursor] = frame
        return frame
    }

    @inline(never)
    private static func ownWebSocket(_ delivery: borrowing TopicDelivery, to output: inout StreamOutput) {
        let message = delivery.message
        let cursor = delivery.cursor
        let isRetained = delivery.isRetained
        if let cursor, !isRetained, message.fragment.count > StreamOutput.copiedMost {
            return self.large(message, cursor, delivery.frames, to: &output)
        }
        output.append(message.fragment.count + (cursor?.textRoom ?? 0) + 64) {
            self.frame(message, cursor, isRetained: isRetained, into: &$0)
        }
    }

    /// The receiver's own beginning of a frame before the end that all share.
    private static func large(_ message: StoredMessage, _ cursor: Cursor, _ frames: SharedFrames, to output: inout StreamOutput) {
        let shared = frames[.websocket] as? SharedFrame ?? self.makeWebSocket(message, nil, frames)
        // With the two braces that close it.
        let tail = shared.tail(message.fragment.count + 2)
        output.append(cursor.textRoom + 48) { buffer in
            var beginning = ByteBufferAllocator().buffer(capacity: cursor.textRoom + 32)
            beginning.writeStaticString(#"{"message":{"cursor":""#)
            beginning.writeCursor(cursor)
            beginning.writeStaticString(#"","#)
            WebSocketEncoder.header(.text, count: beginning.readableBytes + tail.bytes.readableBytes, into: &buffer)
            buffer.writeImmutableBuffer(beginning)
        }
        output.append(tail)
    }

    static func frame(
        _ message: StoredMessage, _ cursor: Cursor?, isRetained: Bool, _ deflate: DeflateOutput? = nil, into buffer: inout ByteBuffer
    ) {
        WebSocketEncoder.text(into: &buffer, deflate) { buffer in
            self.beginning(cursor, isRetained: isRetained, into: &buffer)
            buffer.writeBytes(message.fragment)
            buffer.writeStaticString("}}")
        }
    }

    /// What stands before a message's fragment.
    static func beginning(_ cursor: Cursor?, isRetained: Bool, into buffer: inout ByteBuffer) {
        buffer.writeStaticString(#"{"message":{"#)
        if let cursor {
            buffer.writeStaticString(#""cursor":""#)
            buffer.writeCursor(cursor)
            buffer.writeStaticString(#"","#)
        }
        if isRetained { buffer.writeStaticString(#""retained":true,"#) }
    }
}

extension ByteBuffer {
    /// Appends the text form.
    mutating func writeCursor(_ cursor: Cursor) {
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: cursor.textRoom) { cursor.write(to: $0) }
    }
}
