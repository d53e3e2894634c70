package import NIOCore

/// A name and a value of the application's (MQTT 5.0 §3.1.2.11.8 and others).
package struct MQTTUserProperty: Hashable, Sendable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// The properties of a packet or a will (MQTT 5.0 §2.2.2), in the order they came in; none take no memory of their own.
///
/// Which stand in which packet is checked by the decoder only. Unset ones are nil, not the default that the specification names.
package struct MQTTProperties: Equatable, Sendable {
    struct Item: Equatable, Sendable {
        var id: MQTTPropertyID
        var value: Value
    }

    enum Value: Equatable, Sendable {
        /// Of any integer form.
        case number(UInt32)
        case string(String)
        case binary(ByteBuffer)
        case pair(MQTTUserProperty)
    }

    private(set) var items: [Item] = []

    package init() {}

    package var isEmpty: Bool { self.items.isEmpty }

    /// Adds one, next to others of its kind.
    mutating func append(_ id: MQTTPropertyID, _ value: Value) { self.items.append(Item(id: id, value: value)) }

    // MARK: Those that may repeat

    /// In the order of the wire, which the receiver must keep ([MQTT-3.3.2-18]).
    package var userProperties: [MQTTUserProperty] {
        get {
            self.items.compactMap { item in
                if case .pair(let pair) = item.value { pair } else { nil }
            }
        }
        set {
            self.items.removeAll { $0.id == .userProperty }
            for pair in newValue { self.append(.userProperty, .pair(pair)) }
        }
    }

    /// 1 to 268,435,455. More than one only in a PUBLISH to a client (§3.3.2.3.8).
    package var subscriptionIdentifiers: [UInt32] {
        get {
            self.items.compactMap { item in
                if case .number(let number) = item.value, item.id == .subscriptionIdentifier { number } else { nil }
            }
        }
        set {
            self.items.removeAll { $0.id == .subscriptionIdentifier }
            for number in newValue { self.append(.subscriptionIdentifier, .number(number)) }
        }
    }

    // MARK: Messages (PUBLISH and will, §3.3.2.3)

    /// Whether the payload is UTF-8 (payload format indicator).
    package var payloadIsUTF8: Bool? {
        get { self.bool(.payloadFormatIndicator) }
        set { self.set(.payloadFormatIndicator, newValue) }
    }
    /// Seconds.
    package var messageExpiryInterval: UInt32? {
        get { self.number(.messageExpiryInterval) }
        set { self.set(.messageExpiryInterval, newValue) }
    }
    package var contentType: String? {
        get { self.string(.contentType) }
        set { self.set(.contentType, newValue) }
    }
    package var responseTopic: String? {
        get { self.string(.responseTopic) }
        set { self.set(.responseTopic, newValue) }
    }
    package var correlationData: ByteBuffer? {
        get { self.binary(.correlationData) }
        set { self.set(.correlationData, newValue) }
    }
    package var topicAlias: UInt16? {
        get { self.short(.topicAlias) }
        set { self.set(.topicAlias, newValue.map(UInt32.init)) }
    }
    /// Seconds; of a will only.
    package var willDelayInterval: UInt32? {
        get { self.number(.willDelayInterval) }
        set { self.set(.willDelayInterval, newValue) }
    }

    // MARK: Connections (CONNECT, CONNACK, DISCONNECT, AUTH)

    /// Seconds; 0xffffffff for ever.
    package var sessionExpiryInterval: UInt32? {
        get { self.number(.sessionExpiryInterval) }
        set { self.set(.sessionExpiryInterval, newValue) }
    }
    /// Messages of QoS 1 and 2 that may be unacknowledged.
    package var receiveMaximum: UInt16? {
        get { self.short(.receiveMaximum) }
        set { self.set(.receiveMaximum, newValue.map(UInt32.init)) }
    }
    /// Bytes of a whole packet.
    package var maximumPacketSize: UInt32? {
        get { self.number(.maximumPacketSize) }
        set { self.set(.maximumPacketSize, newValue) }
    }
    package var topicAliasMaximum: UInt16? {
        get { self.short(.topicAliasMaximum) }
        set { self.set(.topicAliasMaximum, newValue.map(UInt32.init)) }
    }
    package var requestResponseInformation: Bool? {
        get { self.bool(.requestResponseInformation) }
        set { self.set(.requestResponseInformation, newValue) }
    }
    package var requestProblemInformation: Bool? {
        get { self.bool(.requestProblemInformation) }
        set { self.set(.requestProblemInformation, newValue) }
    }
    package var authenticationMethod: String? {
        get { self.string(.authenticationMethod) }
        set { self.set(.authenticationMethod, newValue) }
    }
    package var authenticationData: ByteBuffer? {
        get { self.binary(.authenticationData) }
        set { self.set(.authenticationData, newValue) }
    }
    package var assignedClientIdentifier: String? {
        get { self.string(.assignedClientIdentifier) }
        set { self.set(.assignedClientIdentifier, newValue) }
    }
    /// Seconds.
    package var serverKeepAlive: UInt16? {
        get { self.short(.serverKeepAlive) }
        set { self.set(.serverKeepAlive, newValue.map(UInt32.init)) }
    }
    package var responseInformation: String? {
        get { self.string(.responseInformation) }
        set { self.set(.responseInformation, newValue) }
    }
    package var serverReference: String? {
        get { self.string(.serverReference) }
        set { self.set(.serverReference, newValue) }
    }
    /// The server's; to be set to 0 or 1 only.
    package var maximumQoS: MQTTQoS? {
        get { self.number(.maximumQoS).flatMap { MQTTQoS(rawValue: UInt8(truncatingIfNeeded: $0)) } }
        set { self.set(.maximumQoS, newValue.map { UInt32($0.rawValue) }) }
    }
    package var retainAvailable: Bool? {
        get { self.bool(.retainAvailable) }
        set { self.set(.retainAvailable, newValue) }
    }
    package var wildcardSubscriptionAvailable: Bool? {
        get { self.bool(.wildcardSubscriptionAvailable) }
        set { self.set(.wildcardSubscriptionAvailable, newValue) }
    }
    package var subscriptionIdentifierAvailable: Bool? {
        get { self.bool(.subscriptionIdentifierAvailable) }
        set { self.set(.subscriptionIdentifierAvailable, newValue) }
    }
    package var sharedSubscriptionAvailable: Bool? {
        get { self.bool(.sharedSubscriptionAvailable) }
        set { self.set(.sharedSubscriptionAvailable, newValue) }
    }

    // MARK: Answers

    /// For people (§3.2.2.3.9 and others).
    package var reasonString: String? {
        get { self.string(.reasonString) }
        set { self.set(.reasonString, newValue) }
    }
}

extension MQTTProperties {
    private func value(_ id: MQTTPropertyID) -> Value? { self.items.first { $0.id == id }?.value }

    private func number(_ id: MQTTPropertyID) -> UInt32? {
        if case .number(let number)? = self.value(id) { number } else { nil }
    }

    private func short(_ id: MQTTPropertyID) -> UInt16? { self.number(id).map { UInt16(truncatingIfNeeded: $0) } }

    private func bool(_ id: MQTTPropertyID) -> Bool? { self.number(id).map { $0 != 0 } }

    private func string(_ id: MQTTPropertyID) -> String? {
        if case .string(let string)? = self.value(id) { string } else { nil }
    }

    private func binary(_ id: MQTTPropertyID) -> ByteBuffer? {
        if case .binary(let bytes)? = self.value(id) { bytes } else { nil }
    }

    private mutating func set(_ id: MQTTPropertyID, _ number: UInt32?) { self.put(id, number.map(Value.number)) }
    private mutating func set(_ id: MQTTPropertyID, _ bool: Bool?) { self.put(id, bool.map { .number($0 ? 1 : 0) }) }
    private mutating func set(_ id: MQTTPropertyID, _ string: String?) { self.put(id, string.map(Value.string)) }
    private mutating func set(_ id: MQTTPropertyID, _ bytes: ByteBuffer?) { self.put(id, bytes.map(Value.binary)) }

    private mutating func put(_ id: MQTTPropertyID, _ value: Value?) {
        self.items.removeAll { $0.id == id }
        if let value { self.append(id, value) }
    }
}
