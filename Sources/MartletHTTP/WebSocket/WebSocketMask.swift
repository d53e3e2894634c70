/// The key that a client's payload is masked with (RFC 6455 §5.3), at its present turn.
struct WebSocketMask {
    /// The next byte to apply is the lowest.
    private var key: UInt32

    /// - Parameter key: the four bytes of the header, the first one lowest.
    init(_ key: UInt32) { self.key = key }

    /// Unmasks bytes in place, eight at a time.
    func apply(to bytes: UnsafeMutableRawBufferPointer) {
        let wide = UInt64(self.key) << 32 | UInt64(self.key)
        var index = 0
        while bytes.count - index >= 8 {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) ^ wide
            bytes.storeBytes(of: word.littleEndian, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        var rest = wide
        while index < bytes.count {
            bytes[index] ^= UInt8(truncatingIfNeeded: rest)
            rest >>= 8
            index += 1
        }
    }

    /// Turns the key on by as many bytes as were unmasked.
    mutating func advance(_ count: Int) {
        let bits = UInt32(count & 3) * 8
        if bits > 0 { self.key = self.key >> bits | self.key << (32 - bits) }
    }
}
