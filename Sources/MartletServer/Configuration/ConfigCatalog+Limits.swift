import MartletCore

extension ConfigCatalog {
    static let messages: [ConfigOption] = [
        .number(.messages, "limits.messageBytes", \.limits.messageBytes, .bytes, 256...16_777_216, "One message's JSON as it is published."),
        .number(
            .messages, "limits.batchBytes", \.limits.batchBytes, .bytes, 256...67_108_864,
            "One NDJSON batch; at least `limits.messageBytes`."),
        .number(.messages, "limits.batchMessages", \.limits.batchMessages, .count, 1...100_000, "Messages in one batch."),
        .number(
            .messages, "limits.targetsPerMessage", \.limits.targetsPerMessage, .count, 1...10_000, "Inboxes that one message may name."),
        .number(
            .messages, "limits.nameBytes", \.limits.nameBytes, .bytes, 16...1_024,
            "One user, device, type, collapse or idempotency name."),
        .number(.messages, "limits.jsonDepth", \.limits.jsonDepth, .count, 2...256, "Levels of arrays and objects in a message."),
        .number(
            .messages, "limits.ttlDefaultSeconds", \.limits.ttlDefaultSeconds, .seconds, 0...2_592_000,
            "Time to live of a message that names none."),
        .number(
            .messages, "limits.ttlMaxSeconds", \.limits.ttlMaxSeconds, .seconds, 1...2_592_000, "Longest time to live of a message."),
    ]

    static let storage: [ConfigOption] = [
        .number(
            .storage, "limits.inboxMessages", \.limits.inboxMessages, .count, 1...10_000_000,
            "Messages kept in one inbox; the oldest of the lowest priority go first."),
        .number(
            .storage, "limits.inboxBytes", \.limits.inboxBytes, .bytes, 1_024...68_719_476_736,
            "Bytes kept in one inbox; at least `limits.messageBytes`."),
        .number(.storage, "limits.devicesPerUser", \.limits.devicesPerUser, .count, 1...10_000, "Devices of one user."),
        .number(
            .storage, "limits.deviceUnseenSeconds", \.limits.deviceUnseenSeconds, .seconds, 60...315_360_000,
            "Time after which the position of a device that never came back is deleted."),
        .number(
            .storage, "limits.idempotencySeconds", \.limits.idempotencySeconds, .seconds, 1...2_592_000,
            "Time for which an idempotency key is remembered."),
        .number(
            .storage, "limits.idempotencyEntries", \.limits.idempotencyEntries, .count, 1...100_000_000,
            "Idempotency keys remembered for one app; the oldest go first."),
        .number(
            .storage, "limits.reportSeconds", \.limits.reportSeconds, .seconds, 0...2_592_000,
            "Time for which the delivery record of a message is kept after it expired."),
    ]

    static let sessions: [ConfigOption] = [
        .number(
            .sessions, "limits.windowMessages", \.limits.windowMessages, .count, 1...16_384,
            "Messages sent and not yet taken or acked on a session that asks for no other window."),
        .number(
            .sessions, "limits.windowMessagesMax", \.limits.windowMessagesMax, .count, 1...16_384,
            "Largest window that a session may ask for."),
        .number(
            .sessions, "limits.windowBytes", \.limits.windowBytes, .bytes, 1_024...16_777_216,
            "Bytes sent and not yet taken or acked on one session; one larger message goes alone."),
        .number(.sessions, "limits.sessionsPerUser", \.limits.sessionsPerUser, .count, 1...100_000, "Live sessions of one user."),
        .number(
            .sessions, "limits.clientFrameBytes", \.limits.clientFrameBytes, .bytes, 1_024...1_048_576,
            "One message that a client sends on a WebSocket."),
        .number(
            .sessions, "limits.heartbeatMs", \.limits.heartbeatMs, .milliseconds, 100...3_600_000,
            "Heartbeat interval of a session that asks for none."),
        .number(
            .sessions, "limits.heartbeatMinMs", \.limits.heartbeatMinMs, .milliseconds, 100...3_600_000,
            "Shortest heartbeat interval that is granted."),
        .number(
            .sessions, "limits.heartbeatMaxMs", \.limits.heartbeatMaxMs, .milliseconds, 100...3_600_000,
            "Longest heartbeat interval that is granted."),
        .number(
            .sessions, "limits.ramenHeartbeatMs", \.limits.ramenHeartbeatMs, .milliseconds, 100...3_600_000,
            "Heartbeat interval of RAMEN sessions."),
        .number(
            .sessions, "limits.waitMaxSeconds", \.limits.waitMaxSeconds, .seconds, 1...600,
            "Longest time that a long poll or a status request may wait."),
        .number(
            .sessions, "limits.retryMinMs", \.limits.retryMinMs, .milliseconds, 0...3_600_000,
            "Shortest pause before a client connects again; each is told its own, at random between the two."),
        .number(
            .sessions, "limits.retryMaxMs", \.limits.retryMaxMs, .milliseconds, 1...3_600_000,
            "Longest pause before a client connects again."),
        .number(
            .sessions, "limits.seqBlock", \.limits.seqBlock, .count, 1...1_000_000, "Sequence numbers that a RAMEN session reserves at a time."),
    ]

    static let connections: [ConfigOption] = [
        .number(
            .connections, "limits.connections", \.limits.connections, .count, 0...1_000_000,
            "Open connections; 0 is as many as the process may have files open, less `limits.reservedFiles`."),
        .number(
            .connections, "limits.connectionsPerAddress", \.limits.connectionsPerAddress, .count, 0...1_000_000,
            "Open connections of one address; behind a trusted proxy, of the address that it names; 0 is any number."),
        .number(
            .connections, "limits.reservedFiles", \.limits.reservedFiles, .count, 32...65_536,
            "File descriptors kept for the store and the rest of the server."),
        .number(
            .connections, "limits.headerBytes", \.limits.headerBytes, .bytes, 1_024...1_048_576,
            "A request's head: its first line and all header fields."),
        .number(.connections, "limits.headerCount", \.limits.headerCount, .count, 10...1_000, "Header fields of a request."),
        .number(
            .connections, "limits.headSeconds", \.limits.headSeconds, .seconds, 1...600,
            "Time to finish a request's head, and a TLS handshake."),
        .number(.connections, "limits.bodySeconds", \.limits.bodySeconds, .seconds, 1...3_600, "Time to finish a request's body."),
        .number(
            .connections, "limits.idleSeconds", \.limits.idleSeconds, .seconds, 1...86_400,
            "Time without a request after which a connection is closed."),
    ]

    static let rates: [ConfigOption] = [
        .number(
            .rates, "limits.publishRate", \.limits.publishRate, .perSecond, 0...1_000_000,
            "Messages that one API key, or one client, may publish in a second; 0 is any number."),
        .number(
            .rates, "limits.publishBurst", \.limits.publishBurst, .count, 1...10_000_000,
            "Messages that it may publish at once after a pause."),
        .number(
            .rates, "limits.subscribeRate", \.limits.subscribeRate, .perSecond, 0...100_000,
            "Sessions that one user may open in a second; 0 is any number."),
        .number(
            .rates, "limits.subscribeBurst", \.limits.subscribeBurst, .count, 1...1_000_000,
            "Sessions that it may open at once after a pause."),
    ]
}
