package import NIOCore

/// Reads the packets of one connection (MQTT 3.1.1 and 5.0). Untrusted: any bytes, any length.
///
/// Knows the version and nothing else of what came before: whether a packet may come now is for others to say. For a stream that
/// comes in pieces see ``MQTTStreamDecoder``.
package struct MQTTDecoder: Sendable {
    package struct Limits: Sendable {
        /// Bytes of one packet, with its fixed header: the Maximum Packet Size of MQTT 5.0 §3.2.2.3.6. Longer ones are refused before
        /// their bytes come, with 0x95.
        package var packetBytes: Int
        /// User properties of one packet; of a will they count apart. More are refused with 0x97.
        package var userProperties: Int
        /// Filters of one SUBSCRIBE or UNSUBSCRIBE. More are refused with 0x97.
        package var filters: Int
        /// The highest topic alias: the Topic Alias Maximum of §3.2.2.3.8. Higher ones are refused with 0x94.
        package var topicAlias: UInt16
        /// Whether a payload that is said to be UTF-8 must be: refused with 0x99 (§3.3.2.3.2).
        package var checksPayloadFormat: Bool

        package init(
            packetBytes: Int, userProperties: Int = 64, filters: Int = 256, topicAlias: UInt16 = .max, checksPayloadFormat: Bool = true
        ) {
            self.packetBytes = packetBytes
            self.userProperties = userProperties
            self.filters = filters
            self.topicAlias = topicAlias
            self.checksPayloadFormat = checksPayloadFormat
        }
    }

    /// May change between packets.
    package var limits: Limits
    /// Set by the first CONNECT, for a server. After a CONNECT of another version it is the nearest one that is known, to answer in.
    package var version: MQTTVersion?
    let sender: MQTTSender

    /// - Parameters:
    ///   - sender: whose bytes these are.
    ///   - version: nil until a CONNECT says it; what reads a server's bytes gives it.
    package init(from sender: MQTTSender = .client, version: MQTTVersion? = nil, limits: Limits) {
        self.sender = sender
        self.version = version
        self.limits = limits
    }

    /// Takes the next packet out of what was read.
    ///
    /// - Returns: nil, and leaves the buffer as it is, if the packet is not there as a whole.
    /// - Throws: what is wrong with it, as soon as it is certain from the fixed header, or when all of it is there. No further packet
    ///   is to be read.
    package mutating func decode(_ buffer: inout ByteBuffer) throws(MQTTError) -> MQTTPacket? {
        guard let header = try self.header(buffer), buffer.readableBytes >= header.bytes + header.remaining else { return nil }
        buffer.moveReaderIndex(forwardBy: header.bytes)
        guard let body = buffer.readSlice(length: header.remaining) else { return nil }
        var reader = MQTTReader(body)
        let packet = try self.packet(header, &reader)
        try reader.finish()
        return packet
    }

    private func header(_ buffer: ByteBuffer) throws(MQTTError) -> MQTTFixedHeader? {
        guard let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return nil }
        let type = try self.type(first)
        guard let (remaining, bytes, isMinimal) = try MQTTVariableInteger.read(buffer, at: buffer.readerIndex + 1) else { return nil }
        // [MQTT-1.5.5-1]; 3.1.1 does not ask for it. Of a CONNECT the version is not known yet.
        guard isMinimal || self.version != .v5 else { throw .malformed("a remaining length is longer than it needs to be") }
        guard 1 + bytes + remaining <= self.limits.packetBytes else {
            throw MQTTError(.packetTooLarge, "a packet has more than \(self.limits.packetBytes) bytes")
        }
        return MQTTFixedHeader(type: type, flags: first & 0x0f, bytes: 1 + bytes, remaining: remaining, isMinimal: isMinimal)
    }

    /// What the first byte says (§2.1.2, §2.1.3).
    private func type(_ first: UInt8) throws(MQTTError) -> MQTTPacketType {
        guard let type = MQTTPacketType(rawValue: first >> 4), type != .auth || self.version == nil || self.version == .v5 else {
            throw .malformed("a packet is of a reserved type")
        }
        guard type.isSent(by: self.sender, self.version) else { throw .protocolError("a packet goes the other way") }
        guard self.version != nil || type == .connect else { throw .protocolError("the first packet is not CONNECT") }
        let flags = first & 0x0f
        if type == .publish {
            // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
            guard flags & 0b0110 != 0b0110 else { throw .malformed("a PUBLISH has QoS 3") }
            guard flags & 0b1110 != 0b1000 else { throw .malformed("a PUBLISH of QoS 0 says that it is a duplicate") }
        } else {
            // [MQTT-2.1.3-1]; MQTT 3.1 had a duplicate flag where the packet is acknowledged.
            let isOldDuplicate = self.version == .v31 && type.flags != 0 && flags == type.flags | 0b1000
            guard flags == type.flags || isOldDuplicate else { throw .malformed("a packet has flags that are reserved") }
        }
        return type
    }

    private mutating func packet(_ header: MQTTFixedHeader, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket {
        if header.type == .connect { return .connect(try self.connect(header, &reader)) }
        guard let version = self.version else { throw .protocolError("the first packet is not CONNECT") }
        switch header.type {
        case .connect: return .connect(try self.connect(header, &reader))
        case .connack: return .connack(try self.connack(version, &reader))
        case .publish: return .publish(try self.publish(header.flags, version, &reader))
        case .puback: return .ack(try self.ack(.puback, header.type, version, &reader))
        case .pubrec: return .ack(try self.ack(.pubrec, header.type, version, &reader))
        case .pubrel: return .ack(try self.ack(.pubrel, header.type, version, &reader))
        case .pubcomp: return .ack(try self.ack(.pubcomp, header.type, version, &reader))
        case .subscribe: return .subscribe(try self.subscribe(version, &reader))
        case .suback: return .suback(try self.suback(version, &reader))
        case .unsubscribe: return .unsubscribe(try self.unsubscribe(version, &reader))
        case .unsuback: return .unsuback(try self.unsuback(version, &reader))
        case .pingreq: return .pingreq
        case .pingresp: return .pingresp
        case .disconnect: return .disconnect(try self.disconnect(version, &reader))
        case .auth: return .auth(try self.auth(&reader))
        }
    }

    func properties(_ place: MQTTPropertyPlaces, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTProperties {
        try reader.properties(place, self.sender, userProperties: self.limits.userProperties)
    }
}
