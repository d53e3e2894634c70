/// Base64 with the URL-safe alphabet and without padding (RFC 4648 §5).
public enum Base64URL {
    private static let alphabet = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 255, count: 256)
        for (value, byte) in alphabet.enumerated() { table[Int(byte)] = UInt8(value) }
        return table
    }()

    /// Appends the encoded form of `bytes` to `output`.
    public static func encode(_ bytes: some Sequence<UInt8>, into output: inout [UInt8]) {
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                output.append(self.alphabet[Int(bits >> UInt32(count)) & 63])
            }
        }
        if count > 0 { output.append(self.alphabet[Int(bits << UInt32(6 - count)) & 63]) }
    }

    /// Writes the encoded form of `bytes`; `output` must have room for four characters for every three bytes begun.
    ///
    /// - Returns: how many characters were written; 0 if they do not fit.
    public static func encode(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        guard output.count >= (bytes.count + 2) / 3 * 4 else { return 0 }
        var written = 0
        var bits: UInt32 = 0
        var count = 0
        self.alphabet.withUnsafeBufferPointer { alphabet in
            for byte in bytes {
                bits = bits << 8 | UInt32(byte)
                count += 8
                while count >= 6 {
                    count -= 6
                    output[written] = alphabet[Int(bits >> UInt32(count)) & 63]
                    written += 1
                }
            }
            if count > 0 {
                output[written] = alphabet[Int(bits << UInt32(6 - count)) & 63]
                written += 1
            }
        }
        return written
    }

    /// Decodes text. Untrusted: any bytes, any length.
    ///
    /// - Returns: nil for a character outside the alphabet, an impossible length, or stray bits at the end
    ///   (so that one value has one text).
    public static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in text {
            let value = self.values[Int(byte)]
            guard value != 255 else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                output.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        guard count < 6, bits & ((1 << UInt32(count)) - 1) == 0 else { return nil }
        return output
    }
}
