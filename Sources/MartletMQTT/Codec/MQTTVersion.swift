/// The versions of MQTT that the codec knows; the raw value is the protocol level in CONNECT (MQTT 5.0 §3.1.2.2).
package enum MQTTVersion: UInt8, Comparable, CaseIterable, Sendable {
    /// MQTT 3.1, "MQIsdp": read and written as 3.1.1, so that whoever decides can refuse it in words that the client knows.
    case v31 = 3
    case v311 = 4
    case v5 = 5

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// What CONNECT calls the protocol (MQTT 5.0 §3.1.2.1, MQTT 3.1 §3.1).
    var protocolName: String { self == .v31 ? "MQIsdp" : "MQTT" }

    /// Whether packets have properties and reason codes.
    var hasProperties: Bool { self == .v5 }
}

/// Quality of service (MQTT 5.0 §4.3).
package enum MQTTQoS: UInt8, Comparable, CaseIterable, Sendable {
    case atMostOnce = 0
    case atLeastOnce = 1
    case exactlyOnce = 2

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What a subscription is sent of retained messages when it is made (MQTT 5.0 §3.8.3.1).
package enum MQTTRetainHandling: UInt8, CaseIterable, Sendable {
    case send = 0
    /// Only if the subscription did not exist.
    case sendIfNew = 1
    case doNotSend = 2
}
