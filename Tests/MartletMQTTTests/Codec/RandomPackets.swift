import MartletMQTT
import MartletTestSupport
import NIOCore

/// Packets as they may be, with all that may stand in them.
struct RandomPackets {
    var random: SeededRandom

    init(seed: UInt64) { self.random = SeededRandom(seed: seed) }

    mutating func packet(_ sender: MQTTSender, _ version: MQTTVersion) -> MQTTPacket {
        let isNew = version == .v5
        switch self.random.below(8) {
        case 0: return sender == .client ? .connect(self.connect(version)) : .connack(self.connack(isNew))
        case 1, 2: return .publish(self.publish(sender, isNew))
        case 3: return .ack(self.ack(isNew))
        case 4:
            let id = self.packetID()
            if sender == .client { return .subscribe(self.subscribe(id, isNew)) }
            let codes: [MQTTReasonCode] = isNew ? [.grantedQoS1, .quotaExceeded, .topicFilterInvalid] : [.grantedQoS2, .unspecifiedError]
            var suback = MQTTPacket.Suback(packetID: id, self.some { $0.random.pick(codes) ?? .success })
            suback.properties = self.explanation(isNew)
            return .suback(suback)
        case 5:
            let id = self.packetID()
            if sender == .client {
                var unsubscribe = MQTTPacket.Unsubscribe(packetID: id, self.some { $0.filter() }.compactMap { $0 })
                unsubscribe.properties.userProperties = self.userProperties(isNew)
                return .unsubscribe(unsubscribe)
            }
            var unsuback = MQTTPacket.Unsuback(packetID: id, isNew ? self.some { _ in .noSubscriptionExisted } : [])
            unsuback.properties = self.explanation(isNew)
            return .unsuback(unsuback)
        case 6: return sender == .client ? .pingreq : .pingresp
        default: return self.end(sender, isNew)
        }
    }

    private mutating func connect(_ version: MQTTVersion) -> MQTTPacket.Connect {
        let isNew = version == .v5
        var connect = MQTTPacket.Connect(version: version, clientID: self.text())
        connect.cleanStart = self.random.chance(50)
        connect.keepAlive = UInt16(self.random.below(65_536))
        if self.random.chance(50) {
            var will = MQTTPacket.Will(topic: self.topic(), payload: self.bytes())
            will.qos = self.random.pick(MQTTQoS.allCases) ?? .atMostOnce
            will.retain = self.random.chance(50)
            if isNew {
                will.properties = self.message()
                will.properties.willDelayInterval = self.maybe { $0.number() }
            }
            connect.will = will
        }
        connect.userName = self.maybe { $0.text() }
        if isNew || connect.userName != nil { connect.password = self.maybe { $0.bytes() } }
        guard isNew else { return connect }
        connect.properties.sessionExpiryInterval = self.maybe { $0.number() }
        connect.properties.receiveMaximum = self.maybe { $0.packetID() }
        connect.properties.maximumPacketSize = self.maybe { $0.number() + 1 }
        connect.properties.topicAliasMaximum = self.maybe { $0.packetID() }
        connect.properties.requestProblemInformation = self.maybe { $0.random.chance(50) }
        connect.properties.requestResponseInformation = self.maybe { $0.random.chance(50) }
        connect.properties.userProperties = self.userProperties(true)
        connect.properties.authenticationMethod = self.maybe { $0.text() }
        if connect.properties.authenticationMethod != nil { connect.properties.authenticationData = self.maybe { $0.bytes() } }
        return connect
    }

    private mutating func connack(_ isNew: Bool) -> MQTTPacket.Connack {
        var connack = MQTTPacket.Connack(self.random.chance(50) ? .success : .notAuthorized)
        connack.sessionPresent = connack.reason == .success && self.random.chance(50)
        connack.properties = self.explanation(isNew)
        guard isNew else { return connack }
        connack.properties.maximumQoS = self.maybe { $0.random.chance(50) ? .atMostOnce : .atLeastOnce }
        connack.properties.retainAvailable = self.maybe { $0.random.chance(50) }
        connack.properties.assignedClientIdentifier = self.maybe { $0.text() }
        connack.properties.serverKeepAlive = self.maybe { $0.packetID() }
        connack.properties.serverReference = self.maybe { $0.text() }
        connack.properties.responseInformation = self.maybe { $0.text() }
        connack.properties.sharedSubscriptionAvailable = self.maybe { $0.random.chance(50) }
        return connack
    }

    private mutating func publish(_ sender: MQTTSender, _ isNew: Bool) -> MQTTPacket.Publish {
        var publish = MQTTPacket.Publish(topic: self.topic(), payload: self.bytes(most: self.random.chance(10) ? 20_000 : 150))
        publish.qos = self.random.pick(MQTTQoS.allCases) ?? .atMostOnce
        publish.retain = self.random.chance(50)
        if publish.qos > .atMostOnce {
            publish.packetID = self.packetID()
            publish.isDuplicate = self.random.chance(50)
        }
        guard isNew, self.random.chance(60) else { return publish }
        publish.properties = self.message()
        publish.properties.topicAlias = self.maybe { UInt16($0.random.below(10) + 1) }
        if publish.properties.topicAlias != nil, self.random.chance(50) { publish.topic = "" }
        if sender == .server { publish.properties.subscriptionIdentifiers = self.some { $0.number() % 268_435_455 + 1 } }
        return publish
    }

    private mutating func ack(_ isNew: Bool) -> MQTTPacket.Ack {
        var ack = MQTTPacket.Ack(self.random.pick(MQTTPacket.Ack.Kind.allCases) ?? .puback, packetID: self.packetID())
        guard isNew else { return ack }
        if self.random.chance(50) { ack.reason = ack.kind.rawValue < 6 ? .noMatchingSubscribers : .packetIdentifierNotFound }
        ack.properties = self.explanation(true)
        return ack
    }

    private mutating func subscribe(_ id: UInt16, _ isNew: Bool) -> MQTTPacket.Subscribe {
        var subscriptions: [MQTTPacket.Subscription] = []
        for filter in self.some({ $0.filter() }) {
            guard let filter else { continue }
            var subscription = MQTTPacket.Subscription(filter, self.random.pick(MQTTQoS.allCases) ?? .atMostOnce)
            if isNew {
                subscription.noLocal = filter.group == nil && self.random.chance(50)
                subscription.retainAsPublished = self.random.chance(50)
                subscription.retainHandling = self.random.pick(MQTTRetainHandling.allCases) ?? .send
            }
            subscriptions.append(subscription)
        }
        var subscribe = MQTTPacket.Subscribe(packetID: id, subscriptions)
        subscribe.properties.userProperties = self.userProperties(isNew)
        if isNew, self.random.chance(50) { subscribe.properties.subscriptionIdentifiers = [UInt32(self.random.below(300)) + 1] }
        return subscribe
    }

    private mutating func end(_ sender: MQTTSender, _ isNew: Bool) -> MQTTPacket {
        guard isNew else { return sender == .client ? .disconnect(.init()) : .pingresp }
        if self.random.chance(50) {
            var disconnect = MQTTPacket.Disconnect(self.random.chance(50) ? .normalDisconnection : .quotaExceeded)
            disconnect.properties = self.explanation(true)
            if sender == .client { disconnect.properties.sessionExpiryInterval = self.maybe { $0.number() } }
            return .disconnect(disconnect)
        }
        var auth = MQTTPacket.Auth(.continueAuthentication)
        auth.properties = self.explanation(true)
        auth.properties.authenticationMethod = self.text()
        return .auth(auth)
    }

    // MARK: Parts

    private mutating func message() -> MQTTProperties {
        var properties = MQTTProperties()
        properties.messageExpiryInterval = self.maybe { $0.number() }
        properties.contentType = self.maybe { $0.text() }
        properties.responseTopic = self.maybe { $0.topic() }
        properties.correlationData = self.maybe { $0.bytes() }
        properties.userProperties = self.userProperties(true)
        return properties
    }

    private mutating func explanation(_ isNew: Bool) -> MQTTProperties {
        var properties = MQTTProperties()
        guard isNew, self.random.chance(60) else { return properties }
        properties.reasonString = self.maybe { $0.text() }
        properties.userProperties = self.userProperties(true)
        return properties
    }

    private mutating func userProperties(_ isNew: Bool) -> [MQTTUserProperty] {
        isNew && self.random.chance(40) ? self.some { MQTTUserProperty($0.text(), $0.text()) } : []
    }

    private mutating func filter() -> MQTTTopicFilter? {
        try? MQTTTopicFilter(self.random.pick(["a/+", "#", "+/b/#", "$share/g/x/+", "/", "é", "$SYS/#"]) ?? "a")
    }

    private mutating func text() -> String {
        String((0..<self.random.below(self.random.chance(5) ? 300 : 8)).compactMap { _ in self.random.pick(Array("abcé🚕 \u{feff}/")) })
    }

    private mutating func topic() -> String { "t" + self.text() }

    private mutating func bytes(most: Int = 40) -> ByteBuffer {
        ByteBuffer(bytes: (0..<self.random.below(most)).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    }

    private mutating func number() -> UInt32 { UInt32(truncatingIfNeeded: self.random.next() >> UInt64(33 + self.random.below(20))) }

    private mutating func packetID() -> UInt16 { UInt16(self.random.below(65_535) + 1) }

    private mutating func maybe<Value>(_ value: (inout Self) -> Value) -> Value? { self.random.chance(50) ? value(&self) : nil }

    private mutating func some<Value>(_ value: (inout Self) -> Value) -> [Value] { (0...self.random.below(4)).map { _ in value(&self) } }
}
