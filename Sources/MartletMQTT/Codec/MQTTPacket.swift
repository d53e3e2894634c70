package import NIOCore

/// A packet of MQTT 3.1.1 or 5.0 (MQTT 5.0 §3). In 3.1.1 there are no properties, and reason codes other than those of CONNACK and
/// SUBACK are ``MQTTReasonCode/success``.
///
/// Payloads, passwords and other bytes are views of what was read: who keeps them for long copies them.
package enum MQTTPacket: Equatable, Sendable {
    indirect case connect(Connect)
    case connack(Connack)
    case publish(Publish)
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    case ack(Ack)
    case subscribe(Subscribe)
    case suback(Suback)
    case unsubscribe(Unsubscribe)
    case unsuback(Unsuback)
    case pingreq
    case pingresp
    case disconnect(Disconnect)
    case auth(Auth)
}

extension MQTTPacket {
    /// §3.1.
    package struct Connect: Equatable, Sendable {
        package var version: MQTTVersion
        /// May be empty.
        package var clientID: String
        /// Clean Session in 3.1.1.
        package var cleanStart = true
        /// Seconds; 0 for none.
        package var keepAlive: UInt16 = 0
        package var will: Will?
        package var userName: String?
        package var password: ByteBuffer?
        package var properties = MQTTProperties()

        package init(version: MQTTVersion, clientID: String) {
            self.version = version
            self.clientID = clientID
        }
    }

    /// The message that is published when the connection is lost (§3.1.2.5).
    package struct Will: Equatable, Sendable {
        package var topic: String
        package var payload: ByteBuffer
        package var qos = MQTTQoS.atMostOnce
        package var retain = false
        package var properties = MQTTProperties()

        package init(topic: String, payload: ByteBuffer) {
            self.topic = topic
            self.payload = payload
        }
    }

    /// §3.2.
    package struct Connack: Equatable, Sendable {
        package var sessionPresent = false
        package var reason: MQTTReasonCode
        package var properties = MQTTProperties()

        package init(_ reason: MQTTReasonCode, sessionPresent: Bool = false) {
            self.reason = reason
            self.sessionPresent = sessionPresent
        }
    }

    /// §3.3.
    package struct Publish: Equatable, Sendable {
        /// Empty if an earlier topic alias says it.
        package var topic: String
        package var payload: ByteBuffer
        package var qos = MQTTQoS.atMostOnce
        package var retain = false
        package var isDuplicate = false
        /// Not 0; nil at QoS 0.
        package var packetID: UInt16?
        package var properties = MQTTProperties()

        package init(topic: String, payload: ByteBuffer) {
            self.topic = topic
            self.payload = payload
        }
    }

    /// §3.4 to §3.7.
    package struct Ack: Equatable, Sendable {
        package enum Kind: UInt8, CaseIterable, Sendable {
            case puback = 4
            case pubrec = 5
            case pubrel = 6
            case pubcomp = 7
        }

        package var kind: Kind
        package var packetID: UInt16
        package var reason: MQTTReasonCode
        package var properties = MQTTProperties()

        package init(_ kind: Kind, packetID: UInt16, _ reason: MQTTReasonCode = .success) {
            self.kind = kind
            self.packetID = packetID
            self.reason = reason
        }
    }

    /// §3.8.
    package struct Subscribe: Equatable, Sendable {
        package var packetID: UInt16
        /// At least one.
        package var subscriptions: [Subscription]
        package var properties = MQTTProperties()

        package init(packetID: UInt16, _ subscriptions: [Subscription]) {
            self.packetID = packetID
            self.subscriptions = subscriptions
        }
    }

    /// A filter and its options (§3.8.3.1). 3.1.1 has only ``qos``.
    package struct Subscription: Equatable, Sendable {
        package var filter: MQTTTopicFilter
        package var qos: MQTTQoS
        package var noLocal = false
        package var retainAsPublished = false
        package var retainHandling = MQTTRetainHandling.send

        package init(_ filter: MQTTTopicFilter, _ qos: MQTTQoS) {
            self.filter = filter
            self.qos = qos
        }
    }

    /// §3.9.
    package struct Suback: Equatable, Sendable {
        package var packetID: UInt16
        /// One for each filter, in their order.
        package var reasons: [MQTTReasonCode]
        package var properties = MQTTProperties()

        package init(packetID: UInt16, _ reasons: [MQTTReasonCode]) {
            self.packetID = packetID
            self.reasons = reasons
        }
    }

    /// §3.10.
    package struct Unsubscribe: Equatable, Sendable {
        package var packetID: UInt16
        /// At least one.
        package var filters: [MQTTTopicFilter]
        package var properties = MQTTProperties()

        package init(packetID: UInt16, _ filters: [MQTTTopicFilter]) {
            self.packetID = packetID
            self.filters = filters
        }
    }

    /// §3.11.
    package struct Unsuback: Equatable, Sendable {
        package var packetID: UInt16
        /// One for each filter, in their order; none in 3.1.1.
        package var reasons: [MQTTReasonCode]
        package var properties = MQTTProperties()

        package init(packetID: UInt16, _ reasons: [MQTTReasonCode]) {
            self.packetID = packetID
            self.reasons = reasons
        }
    }

    /// §3.14.
    package struct Disconnect: Equatable, Sendable {
        package var reason: MQTTReasonCode
        package var properties = MQTTProperties()

        package init(_ reason: MQTTReasonCode = .normalDisconnection) { self.reason = reason }
    }

    /// §3.15; not in 3.1.1.
    package struct Auth: Equatable, Sendable {
        package var reason: MQTTReasonCode
        package var properties = MQTTProperties()

        package init(_ reason: MQTTReasonCode) { self.reason = reason }
    }
}
