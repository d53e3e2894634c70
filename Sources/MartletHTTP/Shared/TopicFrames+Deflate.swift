package import MartletCore
package import MartletNet
import NIOCore

/// Compressed messages of topics: the part that all receivers of a loop have in common is compressed once.
///
/// What stands before it differs: it goes as a block of its own that is not compressed (RFC 1951 §3.2.4), which ends at a whole
/// byte, so the common blocks can follow as they are.
extension TopicFrames {
    package static func webSocket(_ delivery: borrowing TopicDelivery, _ deflate: DeflateOutput, to output: inout StreamOutput) {
        let message = delivery.message
        guard message.fragment.count >= deflate.leastBytes else { return self.webSocket(delivery, to: &output) }
        let cursor = delivery.cursor
        let isRetained = delivery.isRetained
        if deflate.keepsContext {
            return output.append(message.fragment.count + (cursor?.textRoom ?? 0) + 64) {
                self.frame(message, cursor, isRetained: isRetained, deflate, into: &$0)
            }
        }
        let variant = self.variant(message, delivery.frames, deflate)
        guard let tail = variant.tail else { return self.webSocket(delivery, to: &output) }
        if isRetained || cursor != nil && !delivery.isCursorShared {
            output.append((cursor?.textRoom ?? 0) + 64) { self.beginning(cursor, isRetained: isRetained, before: tail, into: &$0) }
            return output.append(tail)
        }
        if let frame = cursor == nil ? variant.frame : variant.frameWithCursor { return output.append(frame) }
        var buffer = ByteBufferAllocator().buffer(capacity: tail.bytes.readableBytes + (cursor?.textRoom ?? 0) + 48)
        self.beginning(cursor, isRetained: false, before: tail, into: &buffer)
        buffer.writeImmutableBuffer(tail.bytes)
        let frame = SharedFrame(buffer)
        if cursor == nil { variant.frame = frame } else { variant.frameWithCursor = frame }
        output.append(frame)
    }

    /// The frame's header and what is not compressed.
    private static func beginning(_ cursor: Cursor?, isRetained: Bool, before tail: SharedFrame, into buffer: inout ByteBuffer) {
        var beginning = ByteBufferAllocator().buffer(capacity: (cursor?.textRoom ?? 0) + 64)
        // The header of a block that is not compressed: its kind, its length, and that again inverted.
        beginning.writeRepeatingByte(0, count: 5)
        self.beginning(cursor, isRetained: isRetained, into: &beginning)
        let count = UInt16(truncatingIfNeeded: beginning.readableBytes - 5)
        beginning.setInteger(count, at: 1, endianness: .little)
        beginning.setInteger(~count, at: 3, endianness: .little)
        WebSocketEncoder.header(.text, count: beginning.readableBytes + tail.bytes.readableBytes, isDeflated: true, into: &buffer)
        buffer.writeImmutableBuffer(beginning)
    }

    private static func variant(_ message: StoredMessage, _ frames: SharedFrames, _ deflate: DeflateOutput) -> DeflatedFrames.Variant {
        let all = frames[.websocketDeflated] as? DeflatedFrames ?? DeflatedFrames()
        if let variant = all.variants.first(where: { $0.bits == deflate.bits }) { return variant }
        let shared = frames[.websocket] as? SharedFrame ?? self.makeWebSocket(message, nil, frames)
        // With the two braces that close it.
        let plain = shared.tail(message.fragment.count + 2).bytes.readableBytesView
        let variant = DeflatedFrames.Variant(
            bits: deflate.bits, tail: deflate.withDeflated(plain) { SharedFrame(ByteBuffer(bytes: $0.readableBytesView)) })
        all.variants.append(variant)
        frames[.websocketDeflated] = all
        return variant
    }
}

/// The compressed forms of one message, one for each window that connections of the loop agreed on: mostly one.
private final class DeflatedFrames {
    final class Variant {
        let bits: Int32
        /// What all receivers have in common; nil if compressing does not pay.
        let tail: SharedFrame?
        var frame: SharedFrame?
        var frameWithCursor: SharedFrame?

        init(bits: Int32, tail: SharedFrame?) {
            self.bits = bits
            self.tail = tail
        }
    }

    var variants: [Variant] = []
}
