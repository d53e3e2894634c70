package import MartletWire

/// What a session tells its transport to put on the wire. A transport conforms; the node calls.
///
/// All calls come on the connection's own event loop. `send`, `gap` and `heartbeat` only queue bytes; `flush` writes them.
package protocol LiveClient: AnyObject {
    /// The session stands. Comes first.
    func opened(_ welcome: Welcome)

    /// The session could not be opened. Nothing comes after it.
    func refused(_ error: WireError)

    func send(_ delivery: borrowing Delivery)

    /// Some messages are gone, or a presented position could not be used.
    func gap(_ gap: GapNotice)

    /// A message of a topic. Queues bytes, as the other `send` does.
    func send(_ delivery: borrowing TopicDelivery)

    /// The same for sessions with ``SessionTerms``: says how it is acked.
    func send(_ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket)

    /// The client is to forget the number of a message that it received: repeated when it comes back (MQTT 5.0 §4.4).
    func release(_ number: UInt16)

    /// Some messages of a topic are gone, or a presented position could not be used.
    ///
    /// - Parameter cursor: the place after it: who comes back with it goes on there, and is told the gaps that came after it.
    func gap(_ gap: TopicGap, cursor: Cursor)

    /// What was asked for on a live session stands. Not called for what came with the hello: that is in the ``Welcome``.
    ///
    /// - Parameter cursor: the place with them.
    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor)

    /// A subscription ended.
    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason)

    /// Who came to a topic and who left it.
    func presence(_ event: PresenceEvent)

    /// Everything that can be sent now has been: what a short poll waits for. May come more than once.
    func settled()

    /// The smallest frame that shows that the connection lives.
    func heartbeat()

    /// Writes what is queued.
    ///
    /// - Returns: whether the socket has taken everything. If not, the transport calls ``SessionHandle/socketTook()`` once it has.
    func flush() -> Bool

    /// Says why, then ends the connection. Nothing comes after it.
    ///
    /// - Parameter retryAfterMs: when to come back, if the code says to.
    func close(_ code: CloseCode, retryAfterMs: Int64?)
}

extension LiveClient {
    package func send(_ delivery: borrowing TopicDelivery, _ ticket: DeliveryTicket) { self.send(delivery) }
    package func release(_ number: UInt16) {}
}

/// The answer to a hello.
package struct Welcome: Sendable {
    /// Names the session on this server; for acks by seq over HTTP.
    package var session: String
    package var ackMode: AckMode
    package var heartbeatMs: Int64
    package var windowMessages: Int
    package var windowBytes: Int
    /// Pause before connecting again, in milliseconds; each session gets its own.
    package var retryMs: Int64
    /// Unix time in milliseconds.
    package var serverTime: Int64
    /// Where the session starts; carries its tag.
    package var cursor: Cursor
    package var user: String?
    package var device: String?
    /// When it ends unless it is renewed; Unix time in milliseconds, nil for never.
    package var expiresAtMs: Int64?
    /// What came with the hello and stands.
    package var topics: [SubscribedNotice] = []
    /// The answer to ``Hello/terms``.
    package var standing: SessionStanding?
    /// A short poll beside a live session of its device: it acks, and has nothing to send.
    package var isBeside = false

    package init(
        session: String, ackMode: AckMode, heartbeatMs: Int64, windowMessages: Int, windowBytes: Int, retryMs: Int64,
        serverTime: Int64, cursor: Cursor, user: String?, device: String?
    ) {
        self.session = session
        self.ackMode = ackMode
        self.heartbeatMs = heartbeatMs
        self.windowMessages = windowMessages
        self.windowBytes = windowBytes
        self.retryMs = retryMs
        self.serverTime = serverTime
        self.cursor = cursor
        self.user = user
        self.device = device
    }
}

/// One message for one device.
package struct Delivery: Sendable {
    package var message: StoredMessage
    /// 1, 2, 3 … within the session; for RAMEN, of the device.
    package var seq: UInt64
    /// It may have been sent to this device before.
    package var redelivered: Bool
    /// The place after it.
    package var cursor: Cursor

    package init(message: StoredMessage, seq: UInt64, redelivered: Bool, cursor: Cursor) {
        self.message = message
        self.seq = seq
        self.redelivered = redelivered
        self.cursor = cursor
    }
}

/// Tells a client that what it will see next does not follow on what it saw.
package struct GapNotice: Equatable, Sendable {
    package enum Reason: String, Sendable {
        /// The inbox was full: the oldest messages of the lane went.
        case inboxFull = "inbox_full"
        /// The cursor is another user's or device's.
        case owner
        /// The cursor is of a history that is no more.
        case epoch
        /// The cursor is beyond the end of the log.
        case beyondEnd = "beyond_end"
    }

    package var reason: Reason
    package var scope: Scope
    /// With `inbox_full`: the lane's priority and the offsets after and up to which messages are gone.
    package var priority: Priority?
    package var from: UInt64?
    package var to: UInt64?

    package init(reason: Reason, scope: Scope, priority: Priority? = nil, from: UInt64? = nil, to: UInt64? = nil) {
        self.reason = reason
        self.scope = scope
        self.priority = priority
        self.from = from
        self.to = to
    }
}
