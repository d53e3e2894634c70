import MartletCore
import MartletNet
import NIOCore

/// PUBLISH packets of topics: written once for each form and loop, then every receiver gets the same bytes, or a copy with its own packet
/// identifier.
enum MQTTFrames {
    /// A frame as ``SharedFrames`` keeps it.
    private final class Acked {
        let frame: MQTTPublishFrame
        /// The packet of QoS 1 with the identifier that was asked for last.
        private var numbered: (number: UInt16, frame: SharedFrame)?

        init(_ frame: MQTTPublishFrame) { self.frame = frame }

        /// Subscribers who have had the same messages have come to the same identifier: they share the packet.
        func shared(_ number: UInt16) -> SharedFrame {
            if let numbered, numbered.number == number { return numbered.frame }
            var bytes = ByteBufferAllocator().buffer(capacity: self.frame.size)
            self.frame.write(packetID: number, into: &bytes)
            let frame = SharedFrame(bytes)
            self.numbered = (number, frame)
            return frame
        }
    }

    /// Appends a packet, unless the receiver takes no such long ones.
    ///
    /// - Returns: whether it is there.
    @inline(__always)
    static func append(
        _ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket, _ encoder: MQTTEncoder, now: @Sendable () -> Int64,
        to output: inout StreamOutput
    ) -> Bool {
        guard ticket.identifier == 0 else { return self.own(delivery, ticket, encoder, now: now, to: &output) }
        let isV5 = encoder.version == .v5
        guard ticket.qos > 0 || ticket.isRetained else {
            let form: SharedFrames.Form = isV5 ? .mqtt5 : .mqtt
            guard let frame = delivery.frames[form] as? SharedFrame ?? self.make(delivery, form, encoder.version, now()) else { return false }
            guard frame.bytes.readableBytes <= encoder.packetBytes else { return false }
            output.append(frame)
            return true
        }
        let form: SharedFrames.Form = isV5 ? .mqtt5Acked : .mqttAcked
        guard let acked = delivery.frames[form] as? Acked ?? self.makeAcked(delivery, form, encoder.version, now()) else { return false }
        guard acked.frame.size <= encoder.packetBytes else { return false }
        guard ticket.qos > 0 else { return self.own(delivery, ticket, encoder, now: now, to: &output) }
        if ticket.qos == 1, !ticket.isRepeated, !ticket.isRetained {
            output.append(acked.shared(ticket.number))
            return true
        }
        output.append(acked.frame.size) { buffer in
            let start = buffer.writerIndex
            acked.frame.write(packetID: ticket.number, isDuplicate: ticket.isRepeated, into: &buffer)
            guard ticket.qos == 2 || ticket.isRetained, let first = buffer.getInteger(at: start, as: UInt8.self) else { return }
            buffer.setInteger(first & 0b1111_1000 | ticket.qos << 1 | (ticket.isRetained ? 1 : 0), at: start)
        }
        return true
    }

    @inline(never)
    private static func make(
        _ delivery: borrowing TopicDelivery, _ form: SharedFrames.Form, _ version: MQTTVersion, _ now: Int64
    ) -> SharedFrame? {
        let publish = MessageMapping.publish(delivery.message, version, now: now)
        guard let made = MQTTPublishFrame(publish, version: version) else { return nil }
        let frame = SharedFrame(made.bytes)
        delivery.frames[form] = frame
        return frame
    }

    @inline(never)
    private static func makeAcked(
        _ delivery: borrowing TopicDelivery, _ form: SharedFrames.Form, _ version: MQTTVersion, _ now: Int64
    ) -> Acked? {
        var publish = MessageMapping.publish(delivery.message, version, now: now)
        publish.qos = .atLeastOnce
        guard let made = MQTTPublishFrame(publish, version: version) else { return nil }
        let acked = Acked(made)
        delivery.frames[form] = acked
        return acked
    }

    /// What is nobody else's: with subscription identifiers, or retained at QoS 0.
    @inline(never)
    static func own(
        _ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket, _ encoder: MQTTEncoder, now: @Sendable () -> Int64,
        aliases: inout OutAliases?, to output: inout StreamOutput
    ) -> Bool {
        var publish = MessageMapping.publish(delivery.message, encoder.version, now: now())
        publish.retain = ticket.isRetained
        publish.qos = MQTTQoS(rawValue: ticket.qos) ?? .atMostOnce
        if ticket.qos > 0 {
            publish.packetID = ticket.number
            publish.isDuplicate = ticket.isRepeated
        }
        if ticket.identifier != 0 { publish.properties.subscriptionIdentifiers = [ticket.identifier] + ticket.moreIdentifiers }
        guard let size = publish.encodedBytes(encoder.version), size <= encoder.packetBytes else { return false }
        aliases?.shorten(&publish, most: encoder.packetBytes)
        output.append(size) { encoder.encode(.publish(publish), into: &$0) }
        return true
    }

    private static func own(
        _ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket, _ encoder: MQTTEncoder, now: @Sendable () -> Int64,
        to output: inout StreamOutput
    ) -> Bool {
        var none: OutAliases?
        return self.own(delivery, ticket, encoder, now: now, aliases: &none, to: &output)
    }
}

/// The topics that a client knows by a number on this connection (MQTT 5.0 §3.3.2.3.4): the first ones that it is sent.
struct OutAliases {
    private let most: UInt16
    private var known: [ExactText: UInt16] = [:]

    /// Aliases of one connection, whatever its client takes.
    private static let limit: UInt16 = 64

    /// - Parameter most: what the client takes.
    /// - Returns: nil if that is none.
    init?(most: UInt16) {
        guard most > 0 else { return nil }
        self.most = min(most, Self.limit)
    }

    /// Leaves out a topic that the client knows, or tells it a number for it.
    ///
    /// - Parameter most: bytes of a packet.
    mutating func shorten(_ publish: inout MQTTPacket.Publish, most: Int) {
        if let alias = self.known[ExactText(publish.topic)] {
            publish.topic = ""
            publish.properties.topicAlias = alias
            return
        }
        guard self.known.count < Int(self.most) else { return }
        let alias = UInt16(self.known.count + 1)
        publish.properties.topicAlias = alias
        guard let size = publish.encodedBytes(.v5), size <= most else {
            publish.properties.topicAlias = nil
            return
        }
        self.known[ExactText(publish.topic)] = alias
    }
}
