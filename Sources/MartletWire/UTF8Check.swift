/// Checks UTF-8 (RFC 3629) that arrives in pieces: overlong forms, surrogates and values past U+10FFFF are refused at
/// the first byte that makes them certain.
public struct UTF8Check: Sendable {
    /// Bytes that the character begun still needs, and the range that the next one must lie in.
    private var needed: UInt8 = 0
    private var lower: UInt8 = 0x80
    private var upper: UInt8 = 0xbf

    public init() {}

    /// Whether what came so far ends with a whole character.
    public var isComplete: Bool { self.needed == 0 }

    /// Takes the next piece. Untrusted: any bytes.
    ///
    /// - Returns: false once no continuation can make the text valid; the check is of no use after it.
    public mutating func accept(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            if self.needed == 0 {
                index = Self.endOfASCII(bytes, from: index)
                if index == bytes.count { return true }
            }
            guard self.accept(bytes[index]) else { return false }
            index += 1
        }
        return true
    }

    /// Whether bytes are UTF-8, whole characters only.
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var check = UTF8Check()
        return check.accept(bytes) && check.isComplete
    }

    private mutating func accept(_ byte: UInt8) -> Bool {
        if self.needed > 0 {
            guard byte >= self.lower, byte <= self.upper else { return false }
            self.needed -= 1
            self.lower = 0x80
            self.upper = 0xbf
            return true
        }
        guard let start = Self.start(byte) else { return false }
        (self.needed, self.lower, self.upper) = start
        return true
    }

    /// What a first byte asks for: how many more, and the range of the second (Unicode 16, table 3-7).
    @inline(__always)
    private static func start(_ byte: UInt8) -> (needed: UInt8, lower: UInt8, upper: UInt8)? {
        switch byte {
        case 0x00...0x7f: (0, 0x80, 0xbf)
        case 0xc2...0xdf: (1, 0x80, 0xbf)
        case 0xe0: (2, 0xa0, 0xbf)
        case 0xed: (2, 0x80, 0x9f)
        case 0xe1...0xef: (2, 0x80, 0xbf)
        case 0xf0: (3, 0x90, 0xbf)
        case 0xf1...0xf3: (3, 0x80, 0xbf)
        case 0xf4: (3, 0x80, 0x8f)
        default: nil
        }
    }

    /// Length of the character that starts at `index`, in bytes; nil if there is no valid and whole one.
    static func length(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int? {
        guard index < bytes.count, let start = Self.start(bytes[index]) else { return nil }
        let length = Int(start.needed) + 1
        guard bytes.count - index >= length else { return nil }
        if length > 1 { guard bytes[index + 1] >= start.lower, bytes[index + 1] <= start.upper else { return nil } }
        if length > 2 { guard bytes[index + 2] & 0xc0 == 0x80 else { return nil } }
        if length > 3 { guard bytes[index + 3] & 0xc0 == 0x80 else { return nil } }
        return length
    }

    /// The first index from `start` on whose byte is not ASCII; the count if there is none.
    private static func endOfASCII(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while bytes.count - index >= 8 {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let high = word & 0x8080_8080_8080_8080
            if high != 0 { return index + high.trailingZeroBitCount / 8 }
            index += 8
        }
        while index < bytes.count, bytes[index] < 0x80 { index += 1 }
        return index
    }
}
