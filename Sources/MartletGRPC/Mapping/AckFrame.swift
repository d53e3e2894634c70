package import NIOCore

/// The request that comes most: an ack up to a number, and nothing else.
package enum AckFrame {
    /// - Parameter message: untrusted.
    /// - Returns: nil if it is anything else, or written in another way.
    @inline(__always)
    package static func upTo(_ message: ByteBuffer) -> UInt64? {
        message.withUnsafeReadableBytes { bytes in
            // ConnectRequest.ack (2) with its length, Ack.up_to (1).
            guard bytes.count >= 4, bytes.count <= 13, bytes[0] == 2 << 3 | 2, Int(bytes[1]) == bytes.count - 2, bytes[2] == 1 << 3 else {
                return nil
            }
            var value: UInt64 = 0
            var shift: UInt64 = 0
            for index in 3..<bytes.count {
                let byte = bytes[index]
                guard shift < 63 else { return nil }
                value |= UInt64(byte & 0x7f) << shift
                shift += 7
                if byte < 0x80 { return index == bytes.count - 1 && value > 0 ? value : nil }
            }
            return nil
        }
    }
}
