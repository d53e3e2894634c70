/// What became of a request (MQTT 5.0 §2.4, table 2-6). 0x80 and above are failures.
///
/// Packets hold these in every version. 3.1.1 knows a few: ``connectReturnCode``, ``subscribeReturnCode``.
package enum MQTTReasonCode: UInt8, CaseIterable, Sendable {
    /// Also "Normal disconnection" and "Granted QoS 0".
    case success = 0x00
    case grantedQoS1 = 0x01
    case grantedQoS2 = 0x02
    case disconnectWithWillMessage = 0x04
    case noMatchingSubscribers = 0x10
    case noSubscriptionExisted = 0x11
    case continueAuthentication = 0x18
    case reAuthenticate = 0x19
    case unspecifiedError = 0x80
    case malformedPacket = 0x81
    case protocolError = 0x82
    case implementationSpecificError = 0x83
    case unsupportedProtocolVersion = 0x84
    case clientIdentifierNotValid = 0x85
    case badUserNameOrPassword = 0x86
    case notAuthorized = 0x87
    case serverUnavailable = 0x88
    case serverBusy = 0x89
    case banned = 0x8a
    case serverShuttingDown = 0x8b
    case badAuthenticationMethod = 0x8c
    case keepAliveTimeout = 0x8d
    case sessionTakenOver = 0x8e
    case topicFilterInvalid = 0x8f
    case topicNameInvalid = 0x90
    case packetIdentifierInUse = 0x91
    case packetIdentifierNotFound = 0x92
    case receiveMaximumExceeded = 0x93
    case topicAliasInvalid = 0x94
    case packetTooLarge = 0x95
    case messageRateTooHigh = 0x96
    case quotaExceeded = 0x97
    case administrativeAction = 0x98
    case payloadFormatInvalid = 0x99
    case retainNotSupported = 0x9a
    case qosNotSupported = 0x9b
    case useAnotherServer = 0x9c
    case serverMoved = 0x9d
    case sharedSubscriptionsNotSupported = 0x9e
    case connectionRateExceeded = 0x9f
    case maximumConnectTime = 0xa0
    case subscriptionIdentifiersNotSupported = 0xa1
    case wildcardSubscriptionsNotSupported = 0xa2

    package static let normalDisconnection = Self.success
    package static let grantedQoS0 = Self.success

    package var isFailure: Bool { self.rawValue >= 0x80 }

    /// A subscription's grant.
    package static func granted(_ qos: MQTTQoS) -> Self {
        switch qos {
        case .atMostOnce: .grantedQoS0
        case .atLeastOnce: .grantedQoS1
        case .exactlyOnce: .grantedQoS2
        }
    }
}

/// What a CONNACK says in 3.1.1 (§3.2.2.3, table 3.1).
package enum MQTTConnectReturnCode: UInt8, CaseIterable, Sendable {
    case accepted = 0
    case unacceptableProtocolVersion = 1
    case identifierRejected = 2
    case serverUnavailable = 3
    case badUserNameOrPassword = 4
    case notAuthorized = 5

    /// The same in MQTT 5's words.
    package var reason: MQTTReasonCode {
        switch self {
        case .accepted: .success
        case .unacceptableProtocolVersion: .unsupportedProtocolVersion
        case .identifierRejected: .clientIdentifierNotValid
        case .serverUnavailable: .serverUnavailable
        case .badUserNameOrPassword: .badUserNameOrPassword
        case .notAuthorized: .notAuthorized
        }
    }
}

extension MQTTReasonCode {
    /// The return code of a 3.1.1 CONNACK for this; nil if 3.1.1 has no CONNACK for it but the end of the connection
    /// (§3.1.4: a CONNECT of a wrong format is not answered).
    package var connectReturnCode: MQTTConnectReturnCode? {
        switch self {
        case .success: .accepted
        case .unsupportedProtocolVersion: .unacceptableProtocolVersion
        case .clientIdentifierNotValid: .identifierRejected
        case .badUserNameOrPassword, .badAuthenticationMethod: .badUserNameOrPassword
        case .notAuthorized, .banned: .notAuthorized
        case .malformedPacket, .protocolError, .packetTooLarge, .topicNameInvalid, .payloadFormatInvalid: nil
        default: .serverUnavailable
        }
    }

    /// The return code of a 3.1.1 SUBACK for this (§3.9.3): each failure is 0x80.
    package var subscribeReturnCode: Self { self.isFailure ? .unspecifiedError : self }
}

extension MQTTReasonCode {
    /// Whether a packet of this type may carry the code (MQTT 5.0 §3.2.2.2, §3.4.2.1, §3.5.2.1, §3.6.2.1, §3.7.2.1, §3.9.3,
    /// §3.11.3, §3.14.2.1, §3.15.2.1).
    func isAllowed(in type: MQTTPacketType, from sender: MQTTSender) -> Bool {
        switch type {
        case .connack: self.isOfConnack
        case .puback, .pubrec: self.isOfPublishAck
        case .pubrel, .pubcomp: self == .success || self == .packetIdentifierNotFound
        case .suback: self.isOfSuback
        case .unsuback: self.isOfUnsuback
        case .disconnect: sender == .client ? self.isOfClientDisconnect : self.isOfServerDisconnect
        case .auth: self == .success || self == .continueAuthentication || self == .reAuthenticate
        case .connect, .publish, .subscribe, .unsubscribe, .pingreq, .pingresp: false
        }
    }

    private var isOfConnack: Bool {
        switch self {
        case .success, .badAuthenticationMethod, .topicNameInvalid, .packetTooLarge, .quotaExceeded, .payloadFormatInvalid,
            .retainNotSupported, .qosNotSupported, .useAnotherServer, .serverMoved, .connectionRateExceeded:
            true
        default: (0x80...0x8a).contains(self.rawValue)
        }
    }

    private var isOfPublishAck: Bool {
        switch self {
        case .success, .noMatchingSubscribers, .unspecifiedError, .implementationSpecificError, .notAuthorized, .topicNameInvalid,
            .packetIdentifierInUse, .quotaExceeded, .payloadFormatInvalid:
            true
        default: false
        }
    }

    private var isOfSuback: Bool {
        switch self {
        case .grantedQoS0, .grantedQoS1, .grantedQoS2, .unspecifiedError, .implementationSpecificError, .notAuthorized,
            .topicFilterInvalid, .packetIdentifierInUse, .quotaExceeded, .sharedSubscriptionsNotSupported,
            .subscriptionIdentifiersNotSupported, .wildcardSubscriptionsNotSupported:
            true
        default: false
        }
    }

    private var isOfUnsuback: Bool {
        switch self {
        case .success, .noSubscriptionExisted, .unspecifiedError, .implementationSpecificError, .notAuthorized, .topicFilterInvalid,
            .packetIdentifierInUse:
            true
        default: false
        }
    }

    private var isOfClientDisconnect: Bool {
        switch self {
        case .normalDisconnection, .disconnectWithWillMessage, .unspecifiedError, .malformedPacket, .protocolError,
            .implementationSpecificError, .topicNameInvalid:
            true
        default: (0x93...0x99).contains(self.rawValue)
        }
    }

    private var isOfServerDisconnect: Bool {
        switch self {
        case .normalDisconnection, .unspecifiedError, .malformedPacket, .protocolError, .implementationSpecificError, .notAuthorized,
            .serverBusy, .serverShuttingDown, .keepAliveTimeout, .sessionTakenOver, .topicFilterInvalid, .topicNameInvalid:
            true
        default: self.rawValue >= 0x93
        }
    }
}
