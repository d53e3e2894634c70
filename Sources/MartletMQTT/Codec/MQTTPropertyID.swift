/// What a property is called on the wire (MQTT 5.0 §2.2.2.2, table 2-4).
enum MQTTPropertyID: UInt8, CaseIterable, Sendable {
    case payloadFormatIndicator = 0x01
    case messageExpiryInterval = 0x02
    case contentType = 0x03
    case responseTopic = 0x08
    case correlationData = 0x09
    case subscriptionIdentifier = 0x0b
    case sessionExpiryInterval = 0x11
    case assignedClientIdentifier = 0x12
    case serverKeepAlive = 0x13
    case authenticationMethod = 0x15
    case authenticationData = 0x16
    case requestProblemInformation = 0x17
    case willDelayInterval = 0x18
    case requestResponseInformation = 0x19
    case responseInformation = 0x1a
    case serverReference = 0x1c
    case reasonString = 0x1f
    case receiveMaximum = 0x21
    case topicAliasMaximum = 0x22
    case topicAlias = 0x23
    case maximumQoS = 0x24
    case retainAvailable = 0x25
    case userProperty = 0x26
    case maximumPacketSize = 0x27
    case wildcardSubscriptionAvailable = 0x28
    case subscriptionIdentifierAvailable = 0x29
    case sharedSubscriptionAvailable = 0x2a
}

/// Where properties stand: the packets that have them, and the will in CONNECT.
struct MQTTPropertyPlaces: OptionSet, Sendable {
    let rawValue: UInt16

    static let connect = Self(rawValue: 1 << 0)
    static let will = Self(rawValue: 1 << 1)
    static let connack = Self(rawValue: 1 << 2)
    static let publish = Self(rawValue: 1 << 3)
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    static let ack = Self(rawValue: 1 << 4)
    static let subscribe = Self(rawValue: 1 << 5)
    /// SUBACK and UNSUBACK.
    static let suback = Self(rawValue: 1 << 6)
    static let unsubscribe = Self(rawValue: 1 << 7)
    static let clientDisconnect = Self(rawValue: 1 << 8)
    static let serverDisconnect = Self(rawValue: 1 << 9)
    static let auth = Self(rawValue: 1 << 10)

    static let message: Self = [.publish, .will]
    static let disconnect: Self = [.clientDisconnect, .serverDisconnect]
    static let everywhere = Self(rawValue: .max)
}

extension MQTTPropertyID {
    /// How the value is written (MQTT 5.0 §1.5).
    enum Form {
        case byte
        case twoBytes
        case fourBytes
        case variable
        case string
        case binary
        case pair
    }

    var form: Form {
        switch self {
        case .payloadFormatIndicator, .requestProblemInformation, .requestResponseInformation, .maximumQoS, .retainAvailable,
            .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable:
            .byte
        case .serverKeepAlive, .receiveMaximum, .topicAliasMaximum, .topicAlias: .twoBytes
        case .messageExpiryInterval, .sessionExpiryInterval, .willDelayInterval, .maximumPacketSize: .fourBytes
        case .subscriptionIdentifier: .variable
        case .contentType, .responseTopic, .assignedClientIdentifier, .authenticationMethod, .responseInformation, .serverReference,
            .reasonString:
            .string
        case .correlationData, .authenticationData: .binary
        case .userProperty: .pair
        }
    }

    /// Where the property may stand (table 2-4, and §3.14.2.2.2 for the session expiry in DISCONNECT).
    var places: MQTTPropertyPlaces {
        switch self {
        case .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData: .message
        case .topicAlias: .publish
        case .subscriptionIdentifier: [.publish, .subscribe]
        case .sessionExpiryInterval: [.connect, .connack, .clientDisconnect]
        case .authenticationMethod, .authenticationData: [.connect, .connack, .auth]
        case .requestProblemInformation, .requestResponseInformation: .connect
        case .willDelayInterval: .will
        case .receiveMaximum, .topicAliasMaximum, .maximumPacketSize: [.connect, .connack]
        case .assignedClientIdentifier, .serverKeepAlive, .responseInformation, .maximumQoS, .retainAvailable,
            .wildcardSubscriptionAvailable, .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable:
            .connack
        case .serverReference: [.connack, .serverDisconnect]
        case .reasonString: [.connack, .ack, .suback, .disconnect, .auth]
        case .userProperty: .everywhere
        }
    }

    /// Why the property cannot have this number (MQTT 5.0 §3.1.2.11, §3.2.2.3, §3.3.2.3, §3.8.2.1.2); nil if it can.
    func problem(_ number: UInt32) -> MQTTError? {
        switch self {
        case .receiveMaximum where number == 0: .protocolError("the receive maximum is 0")
        case .maximumPacketSize where number == 0: .protocolError("the maximum packet size is 0")
        case .subscriptionIdentifier where number == 0: .protocolError("a subscription identifier is 0")
        case .topicAlias where number == 0: MQTTError(.topicAliasInvalid, "the topic alias is 0")
        default: self.form == .byte && number > 1 ? .protocolError("a property that can be 0 or 1 is neither") : nil
        }
    }
}
