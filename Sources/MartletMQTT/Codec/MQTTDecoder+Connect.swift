import MartletWire
import NIOCore

/// The packets that begin and end a connection (MQTT 5.0 §3.1, §3.2, §3.14, §3.15).
extension MQTTDecoder {
    /// - Throws: 0x84 for a protocol that is not known ([MQTT-3.1.2-1], [MQTT-3.1.2-2]).
    mutating func connect(_ header: MQTTFixedHeader, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Connect {
        let name = try reader.string()
        let level = try reader.byte()
        guard let version = MQTTVersion(rawValue: level), version.protocolName == name else {
            if self.version == nil { self.version = level >= MQTTVersion.v5.rawValue ? .v5 : .v311 }
            throw MQTTError(.unsupportedProtocolVersion, "the protocol is not MQTT 3.1, 3.1.1 or 5")
        }
        if self.version == nil { self.version = version }
        guard header.isMinimal || version < .v5 else { throw .malformed("a remaining length is longer than it needs to be") }

        let flags = ConnectFlags(rawValue: try reader.byte())
        let willQoS = try flags.check(version)
        var connect = MQTTPacket.Connect(version: version, clientID: "")
        connect.cleanStart = flags.contains(.cleanStart)
        connect.keepAlive = try reader.twoBytes()
        if version.hasProperties { connect.properties = try self.authenticated(.connect, &reader) }
        connect.clientID = try reader.string()
        if flags.contains(.will) {
            connect.will = try self.will(version, &reader)
            connect.will?.qos = willQoS
            connect.will?.retain = flags.contains(.willRetain)
        }
        if flags.contains(.userName) { connect.userName = try reader.string() }
        if flags.contains(.password) { connect.password = try reader.binary() }
        return connect
    }

    private func will(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Will {
        let properties = version.hasProperties ? try self.properties(.will, &reader) : MQTTProperties()
        var will = MQTTPacket.Will(topic: try reader.string(), payload: try reader.binary())
        guard MQTTTopicName.isValid(will.topic) else { throw MQTTError(.topicNameInvalid, "a will's topic is empty or has wildcards") }
        will.properties = properties
        try self.checkFormat(will.payload, properties)
        return will
    }

    /// §3.3.2.3.2 and §3.1.3.2.3.
    func checkFormat(_ payload: ByteBuffer, _ properties: MQTTProperties) throws(MQTTError) {
        guard self.limits.checksPayloadFormat, !properties.isEmpty, properties.payloadIsUTF8 == true else { return }
        guard payload.withUnsafeReadableBytes({ UTF8Check.isValid($0) }) else {
            throw MQTTError(.payloadFormatInvalid, "a payload is said to be UTF-8, and is not")
        }
    }

    /// Properties of which data for authentication needs a method (§3.1.2.11.10).
    private func authenticated(_ place: MQTTPropertyPlaces, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTProperties {
        let properties = try self.properties(place, &reader)
        guard properties.authenticationData == nil || properties.authenticationMethod != nil else {
            throw .protocolError("there is authentication data, but no method")
        }
        return properties
    }

    func connack(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Connack {
        let flags = try reader.byte()
        // [MQTT-3.2.2-1]
        guard flags & 0xfe == 0 else { throw .malformed("a CONNACK has flags that are reserved") }
        var connack = MQTTPacket.Connack(.success, sessionPresent: flags == 1)
        if version.hasProperties {
            connack.reason = try self.reason(.connack, &reader)
            connack.properties = try self.authenticated(.connack, &reader)
        } else {
            guard let code = MQTTConnectReturnCode(rawValue: try reader.byte()) else {
                throw .protocolError("a CONNACK has a reserved return code")
            }
            connack.reason = code.reason
        }
        // [MQTT-3.2.2-6]; 3.1.1: [MQTT-3.2.2-4]
        guard connack.reason == .success || !connack.sessionPresent else { throw .protocolError("a refusal speaks of a session") }
        return connack
    }

    func disconnect(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Disconnect {
        var disconnect = MQTTPacket.Disconnect()
        guard version.hasProperties, !reader.isAtEnd else { return disconnect }
        disconnect.reason = try self.reason(.disconnect, &reader)
        guard !reader.isAtEnd else { return disconnect }
        disconnect.properties = try self.properties(self.sender == .client ? .clientDisconnect : .serverDisconnect, &reader)
        return disconnect
    }

    /// - Throws: 0x82 without the authentication method (§3.15.2.2.2), unless the packet says nothing at all (§3.15.2.1).
    func auth(_ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Auth {
        guard !reader.isAtEnd else { return MQTTPacket.Auth(.success) }
        var auth = MQTTPacket.Auth(try self.reason(.auth, &reader))
        auth.properties = try self.properties(.auth, &reader)
        guard auth.properties.authenticationMethod != nil else { throw .protocolError("an AUTH names no method") }
        return auth
    }

    /// A reason code that the packet may have ([MQTT-3.2.2-8], [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1],
    /// [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1], [MQTT-3.15.2-1]).
    func reason(_ type: MQTTPacketType, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTReasonCode {
        guard let reason = MQTTReasonCode(rawValue: try reader.byte()), reason.isAllowed(in: type, from: self.sender) else {
            throw .protocolError("a reason code does not belong in its packet")
        }
        return reason
    }
}

/// MQTT 5.0 §3.1.2.3.
private struct ConnectFlags: OptionSet {
    let rawValue: UInt8

    static let reserved = Self(rawValue: 1 << 0)
    static let cleanStart = Self(rawValue: 1 << 1)
    static let will = Self(rawValue: 1 << 2)
    static let willRetain = Self(rawValue: 1 << 5)
    static let password = Self(rawValue: 1 << 6)
    static let userName = Self(rawValue: 1 << 7)

    /// - Returns: the will's QoS.
    func check(_ version: MQTTVersion) throws(MQTTError) -> MQTTQoS {
        // [MQTT-3.1.2-3]
        guard !self.contains(.reserved) else { throw .malformed("a CONNECT has its reserved flag set") }
        // [MQTT-3.1.2-12]; 3.1.1: [MQTT-3.1.2-14]
        guard let qos = MQTTQoS(rawValue: self.rawValue >> 3 & 0b11) else { throw .malformed("a will has QoS 3") }
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
        guard self.contains(.will) || (qos == .atMostOnce && !self.contains(.willRetain)) else {
            throw .malformed("a CONNECT has flags of a will, but none")
        }
        // 3.1.1: [MQTT-3.1.2-22]; MQTT 5 permits it (§3.1.2.9).
        guard version.hasProperties || self.contains(.userName) || !self.contains(.password) else {
            throw .malformed("a CONNECT has a password, but no user name")
        }
        return qos
    }
}
