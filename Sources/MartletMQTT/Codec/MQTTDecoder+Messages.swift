import NIOCore

/// Messages, their acknowledgements, and subscriptions (MQTT 5.0 §3.3 to §3.11).
extension MQTTDecoder {
    /// Takes the payload as a view of what was read.
    ///
    /// - Throws: 0x90 for wildcards ([MQTT-3.3.2-2]), 0x82 for an empty topic without alias (§3.3.2.1), 0x94 for an alias beyond the
    ///   limit ([MQTT-3.3.2-9]), 0x99.
    func publish(_ flags: UInt8, _ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Publish {
        guard let qos = MQTTQoS(rawValue: flags >> 1 & 0b11) else { throw .malformed("a PUBLISH has QoS 3") }
        var publish = MQTTPacket.Publish(topic: try reader.string(), payload: ByteBuffer())
        publish.qos = qos
        publish.retain = flags & 1 != 0
        publish.isDuplicate = flags & 8 != 0
        if qos > .atMostOnce { publish.packetID = try reader.packetID() }
        if version.hasProperties { publish.properties = try self.properties(.publish, &reader) }
        publish.payload = reader.remainder()

        let alias = publish.properties.isEmpty ? nil : publish.properties.topicAlias
        guard alias ?? 0 <= self.limits.topicAlias else {
            throw MQTTError(.topicAliasInvalid, "a topic alias is higher than \(self.limits.topicAlias)")
        }
        if publish.topic.isEmpty {
            guard alias != nil else {
                // 3.1.1: [MQTT-4.7.3-1]
                throw version.hasProperties
                    ? .protocolError("a PUBLISH has neither topic nor topic alias") : MQTTError(.topicNameInvalid, "a topic is empty")
            }
        } else if !MQTTTopicName.isValid(publish.topic) {
            throw MQTTError(.topicNameInvalid, "a topic that is published to has wildcards")
        }
        try self.checkFormat(publish.payload, publish.properties)
        return publish
    }

    /// In MQTT 5 the reason and the properties may be left out (§3.4.2.1, §3.4.2.2.1).
    func ack(
        _ kind: MQTTPacket.Ack.Kind, _ type: MQTTPacketType, _ version: MQTTVersion, _ reader: inout MQTTReader
    ) throws(MQTTError) -> MQTTPacket.Ack {
        var ack = MQTTPacket.Ack(kind, packetID: try reader.packetID())
        guard version.hasProperties, !reader.isAtEnd else { return ack }
        ack.reason = try self.reason(type, &reader)
        guard !reader.isAtEnd else { return ack }
        ack.properties = try self.properties(.ack, &reader)
        return ack
    }

    /// - Throws: 0x82 without filters ([MQTT-3.8.3-2]; 3.1.1: [MQTT-3.8.3-3]), 0x97 for too many, 0x8F for an empty one.
    func subscribe(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Subscribe {
        var subscribe = MQTTPacket.Subscribe(packetID: try reader.packetID(), [])
        if version.hasProperties { subscribe.properties = try self.properties(.subscribe, &reader) }
        repeat {
            let filter = try self.filter(version, count: subscribe.subscriptions.count, &reader)
            subscribe.subscriptions.append(try Self.subscription(filter, try reader.byte(), version))
        } while !reader.isAtEnd
        return subscribe
    }

    /// The next filter of a SUBSCRIBE or UNSUBSCRIBE that has `count` so far.
    private func filter(_ version: MQTTVersion, count: Int, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTTopicFilter {
        guard !reader.isAtEnd else { throw .protocolError("there is no topic filter") }
        guard count < self.limits.filters else {
            throw MQTTError(.quotaExceeded, "a packet has more than \(self.limits.filters) topic filters")
        }
        let text = try reader.string()
        do throws(MQTTError) {
            return try MQTTTopicFilter(text, version: version)
        } catch {
            // The others of the packet may be good.
            guard !text.isEmpty else { throw error }
            return MQTTTopicFilter(invalid: text)
        }
    }

    /// §3.8.3.1.
    private static func subscription(
        _ filter: MQTTTopicFilter, _ options: UInt8, _ version: MQTTVersion
    ) throws(MQTTError) -> MQTTPacket.Subscription {
        // [MQTT-3.8.3-5]; 3.1.1: [MQTT-3-8.3-4]
        guard options & (version.hasProperties ? 0b1100_0000 : 0b1111_1100) == 0 else {
            throw .malformed("a subscription has options that are reserved")
        }
        guard let qos = MQTTQoS(rawValue: options & 0b11) else {
            throw version.hasProperties ? .protocolError("a subscription asks for QoS 3") : .malformed("a subscription asks for QoS 3")
        }
        guard let retainHandling = MQTTRetainHandling(rawValue: options >> 4 & 0b11) else {
            throw .protocolError("a subscription asks for retain handling 3")
        }
        var subscription = MQTTPacket.Subscription(filter, qos)
        subscription.noLocal = options & 0b0100 != 0
        subscription.retainAsPublished = options & 0b1000 != 0
        subscription.retainHandling = retainHandling
        // [MQTT-3.8.3-4]
        guard !subscription.noLocal || filter.group == nil else { throw .protocolError("a shared subscription is said to be no-local") }
        return subscription
    }

    func suback(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Suback {
        var suback = MQTTPacket.Suback(packetID: try reader.packetID(), [])
        if version.hasProperties { suback.properties = try self.properties(.suback, &reader) }
        repeat {
            let reason = try self.reason(.suback, &reader)
            // 3.1.1: [MQTT-3.9.3-2]
            guard version.hasProperties || reason.subscribeReturnCode == reason else {
                throw .protocolError("a SUBACK has a reserved return code")
            }
            suback.reasons.append(reason)
        } while !reader.isAtEnd
        return suback
    }

    /// - Throws: 0x82 without filters ([MQTT-3.10.3-2]), 0x97 for too many, 0x8F for an empty one.
    func unsubscribe(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Unsubscribe {
        var unsubscribe = MQTTPacket.Unsubscribe(packetID: try reader.packetID(), [])
        if version.hasProperties { unsubscribe.properties = try self.properties(.unsubscribe, &reader) }
        repeat {
            unsubscribe.filters.append(try self.filter(version, count: unsubscribe.filters.count, &reader))
        } while !reader.isAtEnd
        return unsubscribe
    }

    func unsuback(_ version: MQTTVersion, _ reader: inout MQTTReader) throws(MQTTError) -> MQTTPacket.Unsuback {
        var unsuback = MQTTPacket.Unsuback(packetID: try reader.packetID(), [])
        guard version.hasProperties else { return unsuback }
        unsuback.properties = try self.properties(.suback, &reader)
        repeat {
            unsuback.reasons.append(try self.reason(.unsuback, &reader))
        } while !reader.isAtEnd
        return unsuback
    }
}
