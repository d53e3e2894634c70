/// Every limit, named once, with its unit and default.
package struct Limits: Sendable {
    /// Bytes of one message's JSON as a publisher sends it. Default 64 KiB.
    package var messageBytes = 65_536
    /// Bytes of one frame that a client sends on a WebSocket. Default 16 KiB.
    package var clientFrameBytes = 16_384
    /// Bytes of one NDJSON batch. Default 8 MiB.
    package var batchBytes = 8_388_608
    /// Messages in one batch. Default 10,000.
    package var batchMessages = 10_000
    /// Inboxes that one message may name. Default 1,000.
    package var targetsPerMessage = 1_000
    /// Bytes of a user, device, type, collapse or idempotency name. Default 256.
    package var nameBytes = 256
    /// Levels of arrays and objects in a message. Default 64.
    package var jsonDepth = 64
    /// Time to live when none is given, in seconds. Default 30 minutes.
    package var ttlDefaultSeconds = 1_800
    /// Longest time to live, in seconds. Default 30 days.
    package var ttlMaxSeconds = 2_592_000
    /// Messages sent and not yet taken or acked on one session. Default 64, at most ``windowMessagesMax``.
    package var windowMessages = 64
    package var windowMessagesMax = 1_024
    /// Bytes sent and not yet taken or acked on one session. Default 64 KiB.
    package var windowBytes = 65_536
    /// Messages kept in one inbox; the oldest of the lowest lane go first. Default 250,000.
    package var inboxMessages = 250_000
    /// Bytes kept in one inbox. Default 256 MiB.
    package var inboxBytes = 268_435_456
    /// Devices of one user. Default 100.
    package var devicesPerUser = 100
    /// Time after which the position of a device that never came back is deleted, in seconds. Default 90 days.
    package var deviceUnseenSeconds = 7_776_000
    /// Time for which an idempotency key is remembered, in seconds. Default 24 hours.
    package var idempotencySeconds = 86_400
    /// Time for which the delivery record of a message is kept after it expired, in seconds. Default one day.
    package var reportSeconds = 86_400
    /// Heartbeat interval when none is asked for, in milliseconds. Default 25 s.
    package var heartbeatMs: Int64 = 25_000
    /// Shortest and longest heartbeat interval that a client may ask for, in milliseconds. Defaults 1 s and 10 min.
    package var heartbeatMinMs: Int64 = 1_000
    package var heartbeatMaxMs: Int64 = 600_000
    /// Heartbeat interval of RAMEN sessions, in milliseconds. Default 4 s.
    package var ramenHeartbeatMs: Int64 = 4_000
    /// Longest time a long poll or a status request may wait, in seconds. Default 60.
    package var waitMaxSeconds = 60
    /// Shortest and longest pause before a client connects again, in milliseconds; each gets its own between them.
    package var retryMinMs: Int64 = 500
    package var retryMaxMs: Int64 = 3_000
    /// Sequence numbers that a RAMEN session reserves at a time. Default 1,024.
    package var seqBlock: UInt64 = 1_024

    /// Bytes of a request's head: its first line and all header fields. Default 16 KiB.
    package var headerBytes = 16_384
    /// Header fields of a request. Default 100.
    package var headerCount = 100
    /// Time to finish a request's head (and a TLS handshake), in seconds. Default 10.
    package var headSeconds = 10
    /// Time to finish a request's body, in seconds. Default 30.
    package var bodySeconds = 30
    /// Time without a request after which a connection is closed, in seconds. Default 75.
    package var idleSeconds = 75
    /// Open connections; 0 is as many as the process may have files open, less ``reservedFiles``. Default 0.
    package var connections = 0
    /// Open connections of one address; behind a trusted proxy, of the address that it names; 0 is any number. Default 0.
    package var connectionsPerAddress = 0
    /// Live sessions of one user. Default 200.
    package var sessionsPerUser = 200
    /// File descriptors kept for the store and the rest of the server. Default 256.
    package var reservedFiles = 256
    /// Messages that one API key, or one client, may publish in a second; 0 is any number. Default 0.
    package var publishRate = 0
    /// Messages that it may publish at once after a pause. Default 1,000.
    package var publishBurst = 1_000
    /// Sessions that one user may open in a second; 0 is any number. Default 20.
    package var subscribeRate = 20
    /// Sessions that it may open at once after a pause. Default 200.
    package var subscribeBurst = 200
    /// Idempotency keys remembered for one app; the oldest go first. Default 1,000,000.
    package var idempotencyEntries = 1_000_000

    /// Bytes of a topic's name or filter. Default 256.
    package var topicBytes = 256
    /// Levels of a topic's name or filter. Default 32.
    package var topicLevels = 32
    /// Topics and filters that one session may subscribe to. Default 512.
    package var topicsPerSession = 512
    /// Bytes of history and retained values kept in memory, all topics together; the oldest go first. Default 256 MiB.
    package var topicMemoryBytes = 268_435_456
    /// Members named in one event of who came and went. Default 100.
    package var presenceListed = 100
    /// Sessions of one app that are kept while their clients are away, live ones included. Default 100,000.
    package var keptSessions = 100_000
    /// Those of one of its users; 0 is any number. Default 200.
    package var keptSessionsPerUser = 200
    /// Bytes of the wills of one app's clients, connected or kept. Default 64 MiB.
    package var willBytes = 67_108_864
    /// Messages, and bytes of them, of one topic that wait for such sessions; the oldest go first. Defaults 100,000 and 256 MiB.
    package var queueMessages = 100_000
    package var queueBytes = 268_435_456
    /// Namespaces that one app may set through the API. Default 1,000.
    package var namespaces = 1_000

    /// Users that one bridge polls for at once. Default 10,000.
    package var bridgeUsers = 10_000
    /// Bytes of answers that one bridge keeps for those who still poll. Default 64 MiB.
    package var bridgeBytes = 67_108_864

    package init() {}
}
