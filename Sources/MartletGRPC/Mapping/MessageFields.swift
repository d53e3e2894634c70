package import MartletCore
import MartletWire
package import NIOCore

/// A message's fields as protobuf (`martlet.v1.Message`), but for what each receiver has of its own: `seq`, `cursor`, `redelivered` and
/// `retained` are written after them.
///
/// Written by hand, because nothing is to be allocated for a delivery but its bytes.
package enum MessageFields {
    /// Levels of JSON in what a store holds, at most: it was checked when it was published.
    private static let depth = 512

    /// - Parameter isTopic: messages of topics have no priority.
    package static func write(_ message: StoredMessage, isTopic: Bool, into buffer: inout ByteBuffer) {
        buffer.reserveCapacity(minimumWritableBytes: message.fragment.count + 64)
        self.writeID(message.id, into: &buffer)
        buffer.writeField(5, UInt64(bitPattern: message.at))
        if !isTopic { buffer.writeField(7, UInt64(message.priority.rawValue) + 1) }
        let fragment = message.fragment
        withUnsafeTemporaryAllocation(byteCount: fragment.count + 2, alignment: 1) { object in
            object[0] = UInt8(ascii: "{")
            fragment.withUnsafeBytes { if $0.count > 0 { UnsafeMutableRawBufferPointer(rebasing: object[1...]).copyMemory(from: $0) } }
            object[fragment.count + 1] = UInt8(ascii: "}")
            guard let members = try? JSON.object(in: UnsafeRawBufferPointer(object), maxDepth: self.depth) else { return }
            self.write(members, into: &buffer)
        }
    }

    private static func writeID(_ id: MessageID, into buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(4 << 3 | 2))
        buffer.writeInteger(UInt8(36))
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 36) { bytes in
            var place = 0
            for digit in 0..<32 {
                if digit == 8 || digit == 12 || digit == 16 || digit == 20 {
                    bytes[place] = UInt8(ascii: "-")
                    place += 1
                }
                let word = digit < 16 ? id.high : id.low
                let value = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (digit & 15))) & 15
                bytes[place] = value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") - 10 + value
                place += 1
            }
            return 36
        }
    }

    private static func write(_ members: [(key: JSONValue, value: JSONValue)], into buffer: inout ByteBuffer) {
        var extra: [UInt8] = []
        for (key, value) in members {
            // Told apart by length first: this runs for every member of every message.
            switch key.raw.count - 2 {
            case 2 where key.equals("id") || key.equals("at"): break
            case 4 where key.equals("data"): buffer.writeField(10, value.raw)
            case 4 where key.equals("type"): self.write(6, value, into: &buffer)
            case 5 where key.equals("topic"): self.write(8, value, into: &buffer)
            case 8 where key.equals("priority"): break
            case 10 where key.equals("dataBase64"): self.writeBinary(value, into: &buffer)
            case 11 where key.equals("contentType"): self.write(12, value, into: &buffer)
            case 12 where key.equals("notification"): buffer.writeField(13, value.raw)
            default:
                extra.append(extra.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ","))
                extra.append(contentsOf: key.raw)
                extra.append(UInt8(ascii: ":"))
                extra.append(contentsOf: value.raw)
            }
        }
        guard !extra.isEmpty else { return }
        extra.append(UInt8(ascii: "}"))
        extra.withUnsafeBytes { buffer.writeField(14, $0) }
    }

    /// A JSON string's text.
    private static func write(_ number: UInt8, _ value: JSONValue, into buffer: inout ByteBuffer) {
        if let plain = value.plainString { buffer.writeField(number, plain) } else { buffer.writeField(number, value.string ?? "") }
    }

    /// The bytes that Base64 stands for; it was checked when it was published.
    private static func writeBinary(_ value: JSONValue, into buffer: inout ByteBuffer) {
        let text = value.plainString ?? UnsafeRawBufferPointer(start: nil, count: 0)
        var count = text.count
        while count > 0, text[count - 1] == UInt8(ascii: "=") { count -= 1 }
        let bytes = count * 3 / 4
        buffer.writeInteger(UInt8(11 << 3 | 2))
        buffer.writeVarint(UInt64(bytes))
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes) { output in
            var (word, bits, place) = (UInt32(0), 0, 0)
            for index in 0..<count {
                word = word << 6 | self.digit(text[index])
                bits += 6
                guard bits >= 8 else { continue }
                bits -= 8
                output[place] = UInt8(truncatingIfNeeded: word >> UInt32(bits))
                place += 1
            }
            return place
        }
    }

    private static func digit(_ byte: UInt8) -> UInt32 {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte) + 4
        case UInt8(ascii: "+"): 62
        default: 63
        }
    }
}
