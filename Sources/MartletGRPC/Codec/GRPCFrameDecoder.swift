import MartletWire
package import NIOCore

/// Takes messages with a length before them out of a call's bytes, cut and joined anywhere. Untrusted: any bytes.
package struct GRPCFrameDecoder {
    /// Bytes before each message: a flag and a length.
    package static let prefixBytes = 5

    private var input = ByteBuffer()
    /// Of the message whose prefix was read.
    private var pending: (length: Int, isCompressed: Bool)?
    private let encoding: GRPCRequestHead.Encoding

    /// - Parameter encoding: what a set flag means.
    package init(encoding: GRPCRequestHead.Encoding) { self.encoding = encoding }

    /// Bytes that wait for the rest of their message, or to be asked for.
    package var heldBytes: Int { self.input.readableBytes }

    /// Whether a message has begun and is not complete.
    package var isWithinMessage: Bool { self.pending != nil || self.input.readableBytes > 0 }

    package mutating func feed(_ bytes: inout ByteBuffer) {
        if self.input.readableBytes == 0 {
            // Not kept for longer than its bytes: an idle call holds nothing.
            self.input = bytes
        } else {
            self.input.writeBuffer(&bytes)
        }
    }

    /// Lets go of the storage that the bytes which wait came in: a few of them would hold all of it, and have what reads it make another.
    package mutating func letGo() { self.input.letGo() }

    /// The next message, decompressed.
    ///
    /// - Parameters:
    ///   - most: bytes that it may have, on the wire and decompressed.
    ///   - gunzip: what decompresses.
    /// - Throws: what ends the call.
    package mutating func next(most: Int, gunzip: Gunzip) throws(GRPCStatus) -> ByteBuffer? {
        if self.pending == nil {
            guard self.input.readableBytes >= Self.prefixBytes, let flag = self.input.readInteger(as: UInt8.self),
                let length = self.input.readInteger(as: UInt32.self)
            else { return nil }
            guard flag < 2 else { throw GRPCStatus(.internal, "The first byte of a message is 0 or 1.") }
            guard flag == 0 || self.encoding == .gzip else {
                throw GRPCStatus(.internal, "A message is compressed, but the call's head names no grpc-encoding.")
            }
            // Before any of it is kept.
            guard Int(length) <= most else { throw Self.tooLarge(most) }
            self.pending = (Int(length), flag == 1)
        }
        guard let pending, self.input.readableBytes >= pending.length, let message = self.input.readSlice(length: pending.length) else { return nil }
        self.pending = nil
        if self.input.readableBytes == 0 { self.input = ByteBuffer() }
        return pending.isCompressed ? try gunzip.inflate(message, most: most) : message
    }

    package static func tooLarge(_ most: Int) -> GRPCStatus {
        var status = GRPCStatus(.resourceExhausted, "A message may have \(most) bytes here.")
        status.error = .messageTooLarge
        status.limit = most
        return status
    }
}

extension ByteBuffer {
    /// Copies what is to be kept, where it is a small part of what it came in.
    mutating func letGo() {
        let count = self.readableBytes
        guard count > 0, self.storageCapacity > 2 * count + 512 else { return }
        var own = ByteBufferAllocator().buffer(capacity: count)
        own.writeImmutableBuffer(self)
        self = own
    }
}
