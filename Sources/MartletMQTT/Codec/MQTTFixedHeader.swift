import NIOCore

/// Who sends: what a packet may be and hold depends on it.
package enum MQTTSender: Sendable {
    case client
    case server
}

/// MQTT 5.0 §2.1.2, table 2-1.
enum MQTTPacketType: UInt8, CaseIterable, Sendable {
    case connect = 1
    case connack = 2
    case publish = 3
    case puback = 4
    case pubrec = 5
    case pubrel = 6
    case pubcomp = 7
    case subscribe = 8
    case suback = 9
    case unsubscribe = 10
    case unsuback = 11
    case pingreq = 12
    case pingresp = 13
    case disconnect = 14
    case auth = 15

    /// The lower half of the first byte (§2.1.3, table 2-2); PUBLISH sets its own.
    var flags: UInt8 {
        switch self {
        case .pubrel, .subscribe, .unsubscribe: 0b0010
        default: 0
        }
    }

    /// Whether this side may send it. DISCONNECT is the client's only before MQTT 5.
    func isSent(by sender: MQTTSender, _ version: MQTTVersion?) -> Bool {
        switch self {
        case .connect, .subscribe, .unsubscribe, .pingreq: sender == .client
        case .connack, .suback, .unsuback, .pingresp: sender == .server
        case .disconnect: sender == .client || version == .v5
        case .publish, .puback, .pubrec, .pubrel, .pubcomp, .auth: true
        }
    }
}

/// The first two to five bytes of a packet (MQTT 5.0 §2.1).
struct MQTTFixedHeader {
    var type: MQTTPacketType
    var flags: UInt8
    /// Bytes of the header, and those after it.
    var bytes: Int
    var remaining: Int
    /// Whether the remaining length is as short as it can be.
    var isMinimal: Bool
}

/// Numbers of one to four bytes (MQTT 5.0 §1.5.5).
enum MQTTVariableInteger {
    static let most = 268_435_455

    static func size(_ value: Int) -> Int {
        switch value {
        case ..<128: 1
        case ..<16_384: 2
        case ..<2_097_152: 3
        default: 4
        }
    }

    /// Reads one at an index.
    ///
    /// - Returns: nil if its end is not there.
    /// - Throws: 0x81 as soon as it has more than four bytes.
    static func read(_ buffer: ByteBuffer, at index: Int) throws(MQTTError) -> (value: Int, bytes: Int, isMinimal: Bool)? {
        var value = 0
        for offset in 0..<4 {
            guard let byte = buffer.getInteger(at: index + offset, as: UInt8.self) else { return nil }
            value |= Int(byte & 0x7f) << (7 * offset)
            if byte & 0x80 == 0 { return (value, offset + 1, offset == 0 || byte != 0) }
        }
        throw .malformed("a variable byte integer has more than four bytes")
    }
}
