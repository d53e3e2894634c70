import MartletHTTP
import MartletWire
import NIOCore

/// What any bytes decompress to is within the limit, and the same whether the inflater was used before or not; what is compressed
/// comes back.
enum DeflateTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        var choices = Choices(bytes)
        let first = choices.byte()
        let keepsContext = first & 1 != 0
        let bits = Int32(8 + first >> 1 & 7)
        let limit = Int(choices.byte()) << Int(choices.byte() & 7)
        let cut = Int(choices.byte())
        let rest = Array(choices.rest)
        let messages = [Array(rest.prefix(cut)), Array(rest.dropFirst(cut))]

        let inflater = Inflater(bits: bits, keepsContext: keepsContext)
        for message in messages {
            let outcome = Self.inflate(message, inflater, limit)
            if case .success(let plain) = outcome { check(plain.readableBytes <= limit, "more than the limit") }
            if case .failure(let error) = outcome { check([.tooBig, .invalidUTF8].contains(error.code), "closed with \(error.code)") }
            if keepsContext {
                // After a refusal the connection ends.
                if case .failure = outcome { return }
            } else {
                check(outcome == Self.inflate(message, Inflater(bits: bits), limit), "an earlier message changes this one")
            }
        }
        Self.thereAndBack(messages, bits: max(9, bits), keepsContext: keepsContext)
    }

    private static func inflate(_ message: [UInt8], _ inflater: Inflater, _ limit: Int) -> Result<ByteBuffer, WebSocketError> {
        Result { () throws(WebSocketError) in try inflater.inflate(ByteBuffer(bytes: message), limit: limit) }
    }

    private static func thereAndBack(_ messages: [[UInt8]], bits: Int32, keepsContext: Bool) {
        let deflater = Deflater(bits: bits, keepsContext: keepsContext, level: 1, memoryLevel: 1)
        let inflater = Inflater(bits: bits, keepsContext: keepsContext)
        for message in messages where !message.isEmpty {
            var deflated = ByteBuffer()
            check(message.withUnsafeBytes { deflater.deflate($0, into: &deflated) }, "not compressed")
            check(deflated.readableBytes <= Inflater.deflatedMost(message.count), "longer than any form needs")
            let plain = Self.inflate(Array(deflated.readableBytesView), inflater, message.count)
            check(plain == .success(ByteBuffer(bytes: message)), "something else comes back")
        }
    }
}
