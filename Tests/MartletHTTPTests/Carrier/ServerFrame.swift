import NIOCore
import NIOEmbedded

/// A frame that the server wrote.
struct ServerFrame: Equatable {
    var opcode: UInt8
    var payload: [UInt8]

    init(_ opcode: UInt8, _ payload: [UInt8]) {
        self.opcode = opcode
        self.payload = payload
    }

    init(_ opcode: UInt8, _ text: String) { self.init(opcode, Array(text.utf8)) }

    /// Of a close frame.
    var closeCode: UInt16? { self.payload.count < 2 ? nil : UInt16(self.payload[0]) << 8 | UInt16(self.payload[1]) }

    /// Whole frames only: what is left over is a frame with the opcode 255.
    static func all(in bytes: [UInt8]) -> [ServerFrame] {
        var rest = ByteBuffer(bytes: bytes)
        var frames: [ServerFrame] = []
        while let first = rest.readInteger(as: UInt8.self) {
            var count = rest.readInteger(as: UInt8.self).map(Int.init)
            if count == 126 { count = rest.readInteger(as: UInt16.self).map(Int.init) }
            if count == 127 { count = rest.readInteger(as: UInt64.self).map(Int.init) }
            guard first & 0x80 != 0, let count, let payload = rest.readBytes(length: count) else { return frames + [ServerFrame(255, [])] }
            frames.append(ServerFrame(first & 0x0f, payload))
        }
        return frames
    }
}

extension EmbeddedChannel {
    /// All that was written since it was asked last.
    func written() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let piece = try self.readOutbound(as: ByteBuffer.self) { bytes += Array(piece.readableBytesView) }
        return bytes
    }
}
