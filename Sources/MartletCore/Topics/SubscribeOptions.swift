/// How a subscription wants its messages (MQTT 5.0 §3.8.3.1). Other transports have the default.
package struct SubscribeOptions: Hashable, Sendable {
    /// When the retained values of its topics are sent.
    package enum RetainHandling: UInt8, Sendable {
        case always = 0
        /// Only if the subscription is new.
        case ifNew = 1
        case never = 2
    }

    /// The highest QoS, 0 to 2: with 1 or 2 the client acks each message of a topic. Default 0.
    package var qos: UInt8 = 0
    /// Whether it leaves out what the client itself publishes.
    package var noLocal = false
    /// Whether messages say that they were published to be retained.
    package var retainAsPublished = false
    package var retainHandling = RetainHandling.always
    /// Comes with each message of the subscription; 0 for none, at most 268,435,455.
    package var identifier: UInt32 = 0
    /// The group that shares the subscription: each message goes to one of its members; nil for none.
    package var share: String?

    package init(qos: UInt8 = 0) { self.qos = min(2, qos) }
}

/// What a session is told of one message beyond the message: how it is acked, and why it is sent.
package struct DeliveryTicket: Sendable {
    /// Acks name it, 1 to 32,767; 0 if nothing is acked.
    package var number: UInt16
    package var qos: UInt8
    /// It was sent under this number before.
    package var isRepeated: Bool
    /// Whether the message shows as retained.
    package var isRetained: Bool
    /// Of the subscription that it goes out for, and those of others that match it too; 0 for none.
    package var identifier: UInt32
    package var moreIdentifiers: [UInt32]

    package init(
        number: UInt16 = 0, qos: UInt8 = 0, isRepeated: Bool = false, isRetained: Bool = false, identifier: UInt32 = 0,
        moreIdentifiers: [UInt32] = []
    ) {
        self.number = number
        self.qos = qos
        self.isRepeated = isRepeated
        self.isRetained = isRetained
        self.identifier = identifier
        self.moreIdentifiers = moreIdentifiers
    }
}
