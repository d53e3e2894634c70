package import MartletCore
package import MartletNet
package import NIOCore

/// How a `ConnectResponse` goes on the wire.
enum PushForm: Equatable {
    /// A message of gRPC: a flag and its length come before it.
    case grpc
    /// The same; what is long enough is compressed.
    case grpcGzip
    /// A binary message of a WebSocket, which has its own length.
    case webSocket
}

/// A topic's message as ``SharedFrames`` keeps it: encoded once for all subscribers of a loop.
package final class SharedPush {
    /// As gRPC has it.
    package let frame: SharedFrame
    /// Bytes of the message's fields, at the end of the frame.
    private let fieldBytes: Int
    private var gzipped: SharedFrame??

    init(_ frame: SharedFrame, fieldBytes: Int) {
        self.frame = frame
        self.fieldBytes = fieldBytes
    }

    package var fields: ByteBuffer {
        let bytes = self.frame.bytes
        return bytes.getSlice(at: bytes.writerIndex - self.fieldBytes, length: self.fieldBytes) ?? bytes
    }

    /// Without what gRPC puts before it.
    package var bare: ByteBuffer { self.frame.bytes.dropping(GRPCFrameDecoder.prefixBytes) }

    /// Compressed; the frame itself if that gains nothing.
    package func compressed(_ gzip: Gzip) -> SharedFrame {
        if let gzipped { return gzipped ?? self.frame }
        let made = gzip.deflate(self.bare).map { bytes in
            var buffer = ByteBufferAllocator().buffer(capacity: bytes.readableBytes + GRPCFrameDecoder.prefixBytes)
            PushFrames.writePrefix(bytes.readableBytes, isCompressed: true, into: &buffer)
            buffer.writeImmutableBuffer(bytes)
            return SharedFrame(buffer)
        }
        self.gzipped = .some(made)
        return made ?? self.frame
    }
}

/// Deliveries as `ConnectResponse.message`, written without building messages of SwiftProtobuf.
package enum PushFrames {
    /// The tag of `ConnectResponse.message`: field 2, with a length.
    private static let tag: UInt8 = 2 << 3 | 2

    static func writePrefix(_ count: Int, isCompressed: Bool, into buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(isCompressed ? 1 : 0))
        buffer.writeInteger(UInt32(truncatingIfNeeded: count))
    }

    /// Bytes of a `ConnectResponse` with a message of so many.
    static func size(_ fieldBytes: Int) -> Int { 1 + ProtoWire.size(UInt64(fieldBytes)) + fieldBytes }

    /// The tag and the length; the message's fields follow.
    static func writeHead(_ fieldBytes: Int, into buffer: inout ByteBuffer) {
        buffer.writeInteger(self.tag)
        buffer.writeVarint(UInt64(fieldBytes))
    }

    /// What a receiver has of its own in a message of an inbox.
    package static func writeOwn(_ delivery: borrowing Delivery, into buffer: inout ByteBuffer) {
        buffer.writeField(1, delivery.seq)
        buffer.writeField(2, delivery.cursor)
        if delivery.redelivered { buffer.writeField(3, 1) }
    }

    /// The frame that all subscribers of a loop share whose place is nobody's own.
    @inline(__always)
    package static func shared(_ delivery: borrowing TopicDelivery, withCursor: Bool) -> SharedPush {
        let form: SharedFrames.Form = withCursor ? .grpcWithCursor : .grpc
        return delivery.frames[form] as? SharedPush ?? self.make(delivery.message, withCursor ? delivery.cursor : nil, form, delivery.frames)
    }

    @inline(never)
    private static func make(_ message: StoredMessage, _ cursor: Cursor?, _ form: SharedFrames.Form, _ frames: SharedFrames) -> SharedPush {
        var fields = ByteBufferAllocator().buffer(capacity: message.fragment.count + 64)
        MessageFields.write(message, isTopic: true, into: &fields)
        if let cursor { fields.writeField(2, cursor) }
        let count = fields.readableBytes
        let size = self.size(count)
        var buffer = ByteBufferAllocator().buffer(capacity: size + GRPCFrameDecoder.prefixBytes)
        self.writePrefix(size, isCompressed: false, into: &buffer)
        self.writeHead(count, into: &buffer)
        buffer.writeImmutableBuffer(fields)
        let push = SharedPush(SharedFrame(buffer), fieldBytes: count)
        frames[form] = push
        return push
    }
}
