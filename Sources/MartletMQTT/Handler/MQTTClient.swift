import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// A session's hold on its MQTT connection: what the core sends, as packets.
final class MQTTClient: LiveClient {
    // The connection holds the session, the session this; the node lets go of it when the session ends.
    private let connection: MQTTConnection

    init(connection: MQTTConnection) { self.connection = connection }

    func opened(_ welcome: Welcome) { self.connection.welcome(welcome) }

    func refused(_ error: WireError) {
        let refusal = MQTTConnection.refusal(error)
        self.connection.refuse(refusal.code, refusal.reason)
    }

    // MARK: Messages

    func send(_ delivery: borrowing TopicDelivery) { self.send(delivery, DeliveryTicket()) }

    func send(_ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket) {
        let connection = self.connection
        guard connection.phase == .open else { return }
        let isSent =
            connection.aliasesOut == nil
            ? MQTTFrames.append(delivery, ticket, connection.encoder, now: connection.services.now, to: &connection.output)
            : MQTTFrames.own(
                delivery, ticket, connection.encoder, now: connection.services.now, aliases: &connection.aliasesOut, to: &connection.output)
        if !isSent { self.skip(ticket.number) }
    }

    /// A message that the client does not take, because it is too long for it, counts as delivered ([MQTT-3.1.2-25]).
    private func skip(_ number: UInt16) {
        guard number != 0, let loop = self.connection.context?.eventLoop else { return }
        let connection = NIOLoopBound(self.connection, eventLoop: loop)
        loop.execute {
            guard let handle = connection.value.handle, !handle.acked(number: number) else { return }
            // Of QoS 2 it is refused as the client would.
            _ = handle.received(number: number, isRefused: true)
        }
    }

    func send(_ delivery: borrowing Delivery) {
        let connection = self.connection
        guard connection.phase == .open else { return }
        let message = delivery.message
        var publish = MessageMapping.publish(message, connection.encoder.version, now: connection.services.now())
        publish.topic = MQTTConnection.inboxTopic
        if connection.isInboxAcked {
            publish.qos = .atLeastOnce
            publish.packetID = connection.number(of: delivery.seq)
            publish.isDuplicate = delivery.redelivered && connection.isResumed
        }
        if delivery.redelivered, connection.encoder.version == .v5 {
            publish.properties.userProperties += [MQTTUserProperty("redelivered", "true")]
        }
        let packet = publish
        guard let size = packet.encodedBytes(connection.encoder.version), size <= connection.encoder.packetBytes else {
            guard let loop = connection.context?.eventLoop else { return }
            let seq = delivery.seq
            let bound = NIOLoopBound(connection, eventLoop: loop)
            return loop.execute { try? bound.value.handle?.ack(.each([seq])) }
        }
        connection.output.append(size) { connection.encoder.encode(.publish(packet), into: &$0) }
    }

    func release(_ number: UInt16) { self.connection.send(.ack(.init(.pubrel, packetID: number))) }

    // MARK: What is missing

    func gap(_ gap: GapNotice) {
        self.tellGap { json in
            json.append(contentsOf: #"{"reason":"\#(gap.reason.rawValue)","inbox":"\#(gap.scope)""#.utf8)
            if let priority = gap.priority { json.append(contentsOf: #","priority":"\#(priority.name)""#.utf8) }
        }
    }

    func gap(_ gap: TopicGap, cursor: Cursor) {
        self.tellGap { json in
            json.append(contentsOf: #"{"reason":"\#(gap.reason.rawValue)","topic":"#.utf8)
            JSON.append(QueueTopic.original(of: TopicFilter(topic: gap.topic)).text, to: &json)
            if let from = gap.from { json.append(contentsOf: #","from":\#(from)"#.utf8) }
            if let to = gap.to { json.append(contentsOf: #","to":\#(to)"#.utf8) }
        }
    }

    private func tellGap(_ write: (inout [UInt8]) -> Void) {
        var json: [UInt8] = []
        write(&json)
        json.append(UInt8(ascii: "}"))
        self.connection.tellGap(ByteBuffer(bytes: json))
    }

    // MARK: What MQTT has no packet for

    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {}
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {}
    func presence(_ event: PresenceEvent) {}
    func settled() {}
    /// It is the client that pings.
    func heartbeat() {}

    func flush() -> Bool { self.connection.flushOutput() }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        let connection = self.connection
        if connection.phase == .opening {
            // No CONNACK says that another came: this one was the session's for no time at all.
            guard code == .takenOver else { return connection.refuse(.serverUnavailable, code.reason) }
            connection.send(.connack(.init(.success)))
            connection.phase = .open
        }
        let reference = code == .serviceRestart ? connection.services.options.serverReference : nil
        connection.disconnect(reference == nil ? code.mqtt : .useAnotherServer, code.reason, serverReference: reference)
    }
}

extension CloseCode {
    /// The same as a reason code.
    fileprivate var mqtt: MQTTReasonCode {
        switch self {
        case .takenOver: .sessionTakenOver
        case .serviceRestart, .goingAway: .serverShuttingDown
        case .heartbeatTimeout: .keepAliveTimeout
        case .tokenExpired, .refused: .notAuthorized
        case .disconnected: .administrativeAction
        case .storeUnavailable: .serverBusy
        case .normal: .normalDisconnection
        case .protocolError, .policyViolation, .unsupportedData: .protocolError
        case .invalidUTF8: .malformedPacket
        case .tooBig: .packetTooLarge
        case .internalError: .unspecifiedError
        }
    }
}
