/// Base64 with the standard alphabet and padding (RFC 4648 §4).
public enum Base64 {
    private static let alphabet = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static let values: [UInt8] = {
        var table = [UInt8](repeating: 255, count: 256)
        for (value, byte) in alphabet.enumerated() { table[Int(byte)] = UInt8(value) }
        return table
    }()

    /// Whether text is of this form: a multiple of four characters, padded. Untrusted: any bytes, any length. Bits at the end that stand for
    /// nothing may be anything.
    public static func isValid(_ text: some RandomAccessCollection<UInt8>) -> Bool {
        guard text.count % 4 == 0 else { return false }
        return text.dropLast(self.padding(text)).allSatisfy { self.values[Int($0)] != 255 }
    }

    /// Decodes text. Untrusted: any bytes, any length; what it returns is three quarters as long.
    ///
    /// - Returns: nil if it is not ``isValid(_:)``.
    public static func decode(_ text: some RandomAccessCollection<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        let body = text.dropLast(self.padding(text))
        var output: [UInt8] = []
        output.reserveCapacity(body.count / 4 * 3 + 2)
        var word: UInt32 = 0
        var bits: UInt32 = 0
        for byte in body {
            let value = self.values[Int(byte)]
            guard value != 255 else { return nil }
            word = word << 6 | UInt32(value)
            bits += 6
            guard bits >= 8 else { continue }
            bits -= 8
            output.append(UInt8(truncatingIfNeeded: word >> bits))
        }
        return output
    }

    private static func padding(_ text: some RandomAccessCollection<UInt8>) -> Int {
        min(2, text.reversed().prefix { $0 == UInt8(ascii: "=") }.count)
    }

    /// Appends the encoded form of `bytes` to `output`.
    public static func append(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        self.alphabet.withUnsafeBufferPointer { alphabet in
            var index = 0
            while index < bytes.count {
                let left = bytes.count - index
                let word =
                    UInt32(bytes[index]) << 16 | UInt32(left > 1 ? bytes[index + 1] : 0) << 8
                    | UInt32(left > 2 ? bytes[index + 2] : 0)
                output.append(alphabet[Int(word >> 18)])
                output.append(alphabet[Int(word >> 12 & 63)])
                output.append(left > 1 ? alphabet[Int(word >> 6 & 63)] : UInt8(ascii: "="))
                output.append(left > 2 ? alphabet[Int(word & 63)] : UInt8(ascii: "="))
                index += 3
            }
        }
    }
}
