import MartletWire
import NIOCore

/// Reads the fields of one packet (MQTT 5.0 §1.5). Whatever ends too early is 0x81.
struct MQTTReader {
    private(set) var rest: ByteBuffer

    init(_ bytes: ByteBuffer) { self.rest = bytes }

    var isAtEnd: Bool { self.rest.readableBytes == 0 }

    /// - Throws: 0x81 if something follows the last field (§2.1.4: the remaining length covers the fields and no more).
    func finish() throws(MQTTError) {
        guard self.isAtEnd else { throw .malformed("a packet has bytes after its last field") }
    }

    mutating func byte() throws(MQTTError) -> UInt8 {
        guard let value = self.rest.readInteger(as: UInt8.self) else { throw .truncated }
        return value
    }

    mutating func twoBytes() throws(MQTTError) -> UInt16 {
        guard let value = self.rest.readInteger(as: UInt16.self) else { throw .truncated }
        return value
    }

    mutating func fourBytes() throws(MQTTError) -> UInt32 {
        guard let value = self.rest.readInteger(as: UInt32.self) else { throw .truncated }
        return value
    }

    /// [MQTT-1.5.5-1]: as short as it can be.
    mutating func variable() throws(MQTTError) -> UInt32 {
        guard let (value, bytes, isMinimal) = try MQTTVariableInteger.read(self.rest, at: self.rest.readerIndex) else { throw .truncated }
        guard isMinimal else { throw .malformed("a variable byte integer is longer than it needs to be") }
        self.rest.moveReaderIndex(forwardBy: bytes)
        return UInt32(truncatingIfNeeded: value)
    }

    /// [MQTT-2.2.1-3], [MQTT-2.2.1-4]: not 0.
    mutating func packetID() throws(MQTTError) -> UInt16 {
        let id = try self.twoBytes()
        guard id != 0 else { throw .protocolError("a packet identifier is 0") }
        return id
    }

    mutating func slice(_ count: Int) throws(MQTTError) -> ByteBuffer {
        guard let bytes = self.rest.readSlice(length: count) else { throw .truncated }
        return bytes
    }

    /// §1.5.6.
    mutating func binary() throws(MQTTError) -> ByteBuffer { try self.slice(Int(self.twoBytes())) }

    /// UTF-8 without U+0000 ([MQTT-1.5.4-1], [MQTT-1.5.4-2]); a byte order mark stays ([MQTT-1.5.4-3]).
    mutating func string() throws(MQTTError) -> String {
        let bytes = try self.binary()
        guard bytes.readableBytes > 0 else { return "" }
        let text = bytes.withUnsafeReadableBytes { bytes -> String? in
            UTF8Check.isValid(bytes) && !bytes.contains(0) ? String(decoding: bytes, as: UTF8.self) : nil
        }
        guard let text else { throw .malformed("a string is not UTF-8, or has U+0000 in it") }
        return text
    }

    /// What is left, as it is.
    mutating func remainder() -> ByteBuffer {
        defer { self.rest.moveReaderIndex(forwardBy: self.rest.readableBytes) }
        return self.rest.slice()
    }
}

extension MQTTReader {
    /// Reads a property length and the properties (§2.2.2).
    ///
    /// - Throws: 0x81 for unknown ones and those that do not belong there (§2.2.2.2), 0x82 for repeated ones and values that are not
    ///   permitted, 0x94 for a topic alias of 0 ([MQTT-3.3.2-8]), 0x97 for more than `userProperties` user properties.
    mutating func properties(_ place: MQTTPropertyPlaces, _ sender: MQTTSender, userProperties: Int) throws(MQTTError) -> MQTTProperties {
        let length = try self.variable()
        var properties = MQTTProperties()
        if length == 0 { return properties }
        var fields = MQTTReader(try self.slice(Int(length)))
        var seen: UInt64 = 0
        var users = 0
        while !fields.isAtEnd {
            // All identifiers have one byte, though they are variable byte integers.
            guard let id = MQTTPropertyID(rawValue: try fields.byte()) else { throw .malformed("a property is unknown") }
            guard !id.places.isDisjoint(with: place) else { throw .malformed("a property does not belong in its packet") }
            if id == .userProperty {
                users += 1
                guard users <= userProperties else { throw MQTTError(.quotaExceeded, "a packet has more than \(userProperties) user properties") }
            } else if id != .subscriptionIdentifier || place != .publish {
                let bit: UInt64 = 1 << UInt64(id.rawValue)
                guard seen & bit == 0 else { throw .protocolError("a property stands twice in a packet") }
                seen |= bit
            } else if sender == .client {
                // [MQTT-3.3.4-6]
                throw .protocolError("a client publishes with a subscription identifier")
            }
            properties.append(id, try fields.value(of: id))
        }
        return properties
    }

    private mutating func value(of id: MQTTPropertyID) throws(MQTTError) -> MQTTProperties.Value {
        let number: UInt32
        switch id.form {
        case .byte: number = UInt32(try self.byte())
        case .twoBytes: number = UInt32(try self.twoBytes())
        case .fourBytes: number = try self.fourBytes()
        case .variable: number = try self.variable()
        case .binary: return .binary(try self.binary())
        case .pair: return .pair(MQTTUserProperty(try self.string(), try self.string()))
        case .string:
            let text = try self.string()
            // [MQTT-3.3.2-14]
            guard id != .responseTopic || MQTTTopicName.isValid(text) else {
                throw .protocolError("a response topic is empty or has wildcards")
            }
            return .string(text)
        }
        if let problem = id.problem(number) { throw problem }
        return .number(number)
    }
}
