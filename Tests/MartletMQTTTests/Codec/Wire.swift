import MartletMQTT
import NIOCore
import Testing

/// Writes packets byte by byte, as the specification draws them.
enum Wire {
    /// A fixed header with the remaining length, and what follows.
    static func packet(_ first: UInt8, _ parts: [UInt8]...) -> [UInt8] {
        let body = Array(parts.joined())
        return [first] + self.length(body.count) + body
    }

    /// A variable byte integer.
    static func length(_ value: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        repeat {
            bytes.append(UInt8(rest % 128) | (rest >= 128 ? 0x80 : 0))
            rest /= 128
        } while rest > 0
        return bytes
    }

    static func text(_ text: String) -> [UInt8] { self.binary(Array(text.utf8)) }

    static func binary(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes }

    /// A property length and properties.
    static func properties(_ parts: [UInt8]...) -> [UInt8] {
        let body = Array(parts.joined())
        return self.length(body.count) + body
    }

    static let limits = MQTTDecoder.Limits(packetBytes: 100_000, userProperties: 4, filters: 8, topicAlias: 10)

    /// The only packet that the bytes say.
    static func decode(
        _ bytes: [UInt8], _ version: MQTTVersion?, from sender: MQTTSender = .client, limits: MQTTDecoder.Limits = limits
    ) throws(MQTTError) -> MQTTPacket? {
        var decoder = MQTTDecoder(from: sender, version: version, limits: limits)
        var buffer = ByteBuffer(bytes: bytes)
        let packet = try decoder.decode(&buffer)
        #expect(packet == nil || buffer.readableBytes == 0, "bytes are left")
        return packet
    }

    /// The code that the bytes are refused with; nil if they are not.
    static func refusal(
        _ bytes: [UInt8], _ version: MQTTVersion?, from sender: MQTTSender = .client, limits: MQTTDecoder.Limits = limits
    ) -> MQTTReasonCode? {
        do throws(MQTTError) {
            _ = try self.decode(bytes, version, from: sender, limits: limits)
            return nil
        } catch {
            return error.code
        }
    }

    static func encode(_ packet: MQTTPacket, _ version: MQTTVersion, most: Int = .max) -> [UInt8]? {
        var buffer = ByteBuffer()
        guard MQTTEncoder(version: version, packetBytes: most).encode(packet, into: &buffer) else { return nil }
        return Array(buffer.readableBytesView)
    }
}

extension ByteBuffer {
    var text: String { String(decoding: self.readableBytesView, as: UTF8.self) }
}
