import MartletCore
import MartletNet
import MartletProto
import NIOCore
import SwiftProtobuf

/// What goes out, in the form that the connection has.
extension PushConnection {
    /// Queues anything but a message.
    func send(_ response: ProtoConnectResponse) {
        guard self.phase != .closing, let bytes: [UInt8] = try? response.serializedBytes() else { return }
        self.append(bytes)
    }

    private func append(_ bytes: [UInt8]) {
        self.answerBytes += bytes.count
        switch self.form {
        case .webSocket: self.context?.write(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
        case .grpc: self.appendPlain(bytes.count) { $0.writeBytes(bytes) }
        case .grpcGzip: self.appendGzip(ByteBuffer(bytes: bytes))
        }
    }

    /// - Parameter count: bytes that `write` writes.
    private func appendPlain(_ count: Int, _ write: (inout ByteBuffer) -> Void) {
        self.output.append(count + GRPCFrameDecoder.prefixBytes) {
            PushFrames.writePrefix(count, isCompressed: false, into: &$0)
            write(&$0)
        }
    }

    private func appendGzip(_ message: ByteBuffer) {
        guard let bytes = self.loop.gzip.deflate(message) else {
            return self.appendPlain(message.readableBytes) { $0.writeImmutableBuffer(message) }
        }
        self.output.append(bytes.readableBytes + GRPCFrameDecoder.prefixBytes) {
            PushFrames.writePrefix(bytes.readableBytes, isCompressed: true, into: &$0)
            $0.writeImmutableBuffer(bytes)
        }
    }

    /// Queues a message, given its fields.
    private func append(fields: ByteBuffer) {
        let count = fields.readableBytes
        let size = PushFrames.size(count)
        guard self.form == .grpc || self.form == .grpcGzip && size < Gzip.least else {
            var message = ByteBufferAllocator().buffer(capacity: size)
            PushFrames.writeHead(count, into: &message)
            message.writeImmutableBuffer(fields)
            if self.form == .grpcGzip { self.appendGzip(message) } else { self.context?.write(NIOAny(message), promise: nil) }
            return
        }
        self.appendPlain(size) {
            PushFrames.writeHead(count, into: &$0)
            $0.writeImmutableBuffer(fields)
        }
    }

    func send(_ delivery: borrowing Delivery) {
        guard self.phase != .closing else { return }
        let delivery = copy delivery
        self.loop.withScratch { buffer in
            MessageFields.write(delivery.message, isTopic: false, into: &buffer)
            PushFrames.writeOwn(delivery, into: &buffer)
            self.append(fields: buffer)
        }
    }

    func send(_ delivery: borrowing TopicDelivery) {
        guard self.phase != .closing else { return }
        let hasOwnPlace = delivery.cursor != nil && !delivery.isCursorShared
        guard !delivery.isRetained, !hasOwnPlace else { return self.sendOwn(delivery) }
        let shared = PushFrames.shared(delivery, withCursor: delivery.cursor != nil)
        switch self.form {
        case .grpc: self.output.append(shared.frame)
        case .grpcGzip: self.output.append(shared.compressed(self.loop.gzip))
        case .webSocket: self.context?.write(NIOAny(shared.bare), promise: nil)
        }
    }

    /// A receiver's own fields, then those that all share.
    private func sendOwn(_ delivery: borrowing TopicDelivery) {
        let shared = PushFrames.shared(delivery, withCursor: false)
        let fields = shared.fields
        let (cursor, isRetained) = (delivery.cursor, delivery.isRetained)
        self.loop.withScratch { buffer in
            if let cursor { buffer.writeField(2, cursor) }
            if isRetained { buffer.writeField(9, 1) }
            guard self.form == .grpc, fields.readableBytes > StreamOutput.copiedMost else {
                buffer.writeImmutableBuffer(fields)
                return self.append(fields: buffer)
            }
            let own = buffer
            let count = own.readableBytes + fields.readableBytes
            self.output.append(own.readableBytes + 16) {
                PushFrames.writePrefix(PushFrames.size(count), isCompressed: false, into: &$0)
                PushFrames.writeHead(count, into: &$0)
                $0.writeImmutableBuffer(own)
            }
            self.output.append(shared.frame.tail(fields.readableBytes))
        }
    }

    /// Writes what is queued.
    @discardableResult
    func flush() -> Bool {
        self.call?.connection.sent()
        if self.form == .webSocket { self.context?.flush() }
        return self.flushOutput()
    }
}
