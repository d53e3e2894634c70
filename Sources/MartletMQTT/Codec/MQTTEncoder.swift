package import NIOCore

/// Writes packets for one receiver (MQTT 3.1.1 and 5.0). For one message to many receivers see ``MQTTPublishFrame``.
package struct MQTTEncoder: Sendable {
    /// In 3.1.1 properties and reason codes are left out; a failure in SUBACK is 0x80, one in CONNACK the nearest return code.
    package var version: MQTTVersion
    /// The receiver's Maximum Packet Size: bytes of a whole packet.
    package var packetBytes: Int
    /// Whether the client wants reason strings and user properties outside of PUBLISH, CONNACK and DISCONNECT ([MQTT-3.1.2-29]).
    package var sendsProblemInformation: Bool

    package init(version: MQTTVersion, packetBytes: Int = .max, sendsProblemInformation: Bool = true) {
        self.version = version
        self.packetBytes = packetBytes
        self.sendsProblemInformation = sendsProblemInformation
    }

    /// Writes a packet behind what is in the buffer. CONNECT is written in its own version. Whether the packet may be sent is not
    /// checked: DISCONNECT, say, is a client's only in 3.1.1.
    ///
    /// An answer that is longer than the receiver takes loses its user properties, then its reason string ([MQTT-3.2.2-19],
    /// [MQTT-3.2.2-20], [MQTT-3.4.2-2] and others).
    ///
    /// - Returns: false, with nothing written, if it is longer all the same, or cannot be written: AUTH in 3.1.1, a CONNACK that
    ///   3.1.1 has no return code for (``MQTTReasonCode/connectReturnCode``), a PUBLISH of QoS 1 or 2 without packet identifier, a
    ///   field of more than 65,535 bytes.
    @discardableResult
    package func encode(_ packet: MQTTPacket, into buffer: inout ByteBuffer) -> Bool {
        switch packet {
        case .publish(let publish): return self.publish(publish, into: &buffer)
        case .connect, .subscribe, .unsubscribe, .pingreq, .pingresp: return self.encode(packet, .nothing, into: &buffer)
        case .connack, .disconnect: return self.answer(packet, .nothing, into: &buffer)
        case .ack, .suback, .unsuback, .auth:
            return self.answer(packet, self.sendsProblemInformation ? .nothing : .everything, into: &buffer)
        }
    }

    private func publish(_ publish: MQTTPacket.Publish, into buffer: inout ByteBuffer) -> Bool {
        guard publish.qos == .atMostOnce || (publish.packetID ?? 0) != 0 else { return false }
        guard let size = publish.encodedBytes(self.version), size <= self.packetBytes else { return false }
        MQTTPublishFrame.write(publish, self.version, bytes: size, into: &buffer)
        return true
    }

    private func answer(_ packet: MQTTPacket, _ omitted: MQTTOmitted, into buffer: inout ByteBuffer) -> Bool {
        self.encode(packet, omitted, into: &buffer)
            || self.encode(packet, omitted.union(.userProperties), into: &buffer)
            || self.encode(packet, .everything, into: &buffer)
    }

    private func encode(_ packet: MQTTPacket, _ omitted: MQTTOmitted, into buffer: inout ByteBuffer) -> Bool {
        var writer = MQTTWriter(buffer, omitting: omitted)
        // Growing in place needs the only reference.
        buffer = ByteBuffer()
        let isKnown = self.fields(packet, &writer)
        if isKnown { writer.end() }
        let isWritten = isKnown && writer.isValid && writer.count <= self.packetBytes
        if !isWritten { writer.cancel() }
        buffer = writer.buffer
        return isWritten
    }

    /// - Returns: false if the version has no such packet.
    private func fields(_ packet: MQTTPacket, _ writer: inout MQTTWriter) -> Bool {
        switch packet {
        case .connect(let connect): Self.connect(connect, &writer)
        case .connack(let connack): return self.connack(connack, &writer)
        case .publish: return false
        case .ack(let ack): self.ack(ack, &writer)
        case .subscribe(let subscribe): self.subscribe(subscribe, &writer)
        case .suback(let suback):
            writer.begin(.suback)
            writer.twoBytes(suback.packetID)
            if self.version.hasProperties { writer.answerProperties(suback.properties) }
            for reason in suback.reasons { writer.byte((self.version.hasProperties ? reason : reason.subscribeReturnCode).rawValue) }
        case .unsubscribe(let unsubscribe):
            writer.begin(.unsubscribe)
            writer.twoBytes(unsubscribe.packetID)
            if self.version.hasProperties { writer.properties(unsubscribe.properties) }
            for filter in unsubscribe.filters { writer.string(filter.text) }
        case .unsuback(let unsuback):
            writer.begin(.unsuback)
            writer.twoBytes(unsuback.packetID)
            guard self.version.hasProperties else { return true }
            writer.answerProperties(unsuback.properties)
            for reason in unsuback.reasons { writer.byte(reason.rawValue) }
        case .pingreq: writer.begin(.pingreq)
        case .pingresp: writer.begin(.pingresp)
        case .disconnect(let disconnect):
            writer.begin(.disconnect)
            if self.version.hasProperties { Self.ending(disconnect.reason, disconnect.properties, &writer) }
        case .auth(let auth):
            guard self.version.hasProperties else { return false }
            writer.begin(.auth)
            guard auth.reason != .success || writer.hasAnswerProperties(auth.properties) else { return true }
            writer.byte(auth.reason.rawValue)
            writer.answerProperties(auth.properties)
        }
        return true
    }

    private static func connect(_ connect: MQTTPacket.Connect, _ writer: inout MQTTWriter) {
        writer.begin(.connect)
        writer.string(connect.version.protocolName)
        writer.byte(connect.version.rawValue)
        var flags: UInt8 = connect.cleanStart ? 1 << 1 : 0
        if let will = connect.will { flags |= 1 << 2 | will.qos.rawValue << 3 | (will.retain ? 1 << 5 : 0) }
        if connect.password != nil { flags |= 1 << 6 }
        if connect.userName != nil { flags |= 1 << 7 }
        writer.byte(flags)
        writer.twoBytes(connect.keepAlive)
        if connect.version.hasProperties { writer.properties(connect.properties) }
        writer.string(connect.clientID)
        if let will = connect.will {
            if connect.version.hasProperties { writer.properties(will.properties) }
            writer.string(will.topic)
            writer.binary(will.payload)
        }
        if let userName = connect.userName { writer.string(userName) }
        if let password = connect.password { writer.binary(password) }
    }

    private func connack(_ connack: MQTTPacket.Connack, _ writer: inout MQTTWriter) -> Bool {
        writer.begin(.connack)
        writer.byte(connack.sessionPresent ? 1 : 0)
        if self.version.hasProperties {
            writer.byte(connack.reason.rawValue)
            writer.answerProperties(connack.properties)
            return true
        }
        guard let code = connack.reason.connectReturnCode else { return false }
        writer.byte(code.rawValue)
        return true
    }

    private func ack(_ ack: MQTTPacket.Ack, _ writer: inout MQTTWriter) {
        switch ack.kind {
        case .puback: writer.begin(.puback)
        case .pubrec: writer.begin(.pubrec)
        case .pubrel: writer.begin(.pubrel)
        case .pubcomp: writer.begin(.pubcomp)
        }
        writer.twoBytes(ack.packetID)
        if self.version.hasProperties { Self.ending(ack.reason, ack.properties, &writer) }
    }

    /// A reason and properties, of which both or the latter may be left out (§3.4.2.1, §3.14.2.1).
    private static func ending(_ reason: MQTTReasonCode, _ properties: MQTTProperties, _ writer: inout MQTTWriter) {
        let hasProperties = writer.hasAnswerProperties(properties)
        if reason != .success || hasProperties { writer.byte(reason.rawValue) }
        if hasProperties { writer.answerProperties(properties) }
    }

    private func subscribe(_ subscribe: MQTTPacket.Subscribe, _ writer: inout MQTTWriter) {
        writer.begin(.subscribe)
        writer.twoBytes(subscribe.packetID)
        if self.version.hasProperties { writer.properties(subscribe.properties) }
        for subscription in subscribe.subscriptions {
            writer.string(subscription.filter.text)
            var options = subscription.qos.rawValue
            if self.version.hasProperties {
                options |= (subscription.noLocal ? 1 << 2 : 0) | (subscription.retainAsPublished ? 1 << 3 : 0)
                options |= subscription.retainHandling.rawValue << 4
            }
            writer.byte(options)
        }
    }
}
