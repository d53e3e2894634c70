package import MartletWire

/// How a session learns what its client has received.
package enum AckMode: String, Sendable {
    /// The client acks; the window counts what it has not acked.
    case explicit
    /// The client acks now and then, or by presenting a cursor; the window counts what the socket has not taken.
    case none
}

/// How a session's messages travel; for people and metrics, it decides nothing.
package enum TransportKind: UInt8, CaseIterable, Sendable {
    case sse, ramen, websocket, poll, jsonp, stream, exchange, mqtt, grpc

    package var name: String { "\(self)" }
}

/// What a client asks for when it connects, on any transport. Checked by the transport against ``Limits``.
package struct Hello: Sendable {
    package var app: AppID
    package var user: String?
    /// nil: the device is ephemeral; it starts now and nothing is recorded.
    package var device: String?
    package var cursor: Cursor?
    /// Whether the client came back by itself (`Last-Event-ID`): if its session was taken over, it is told to stop.
    package var automaticReconnect: Bool
    package var ackMode: AckMode
    package var windowMessages: Int
    package var windowBytes: Int
    package var heartbeatMs: Int64
    /// A device seen for the first time starts after everything that is already stored. One that moves to another user
    /// still gets what waits for that user.
    package var fromNow: Bool
    /// Whether the transport sees what the client sends, so that silence is a sign.
    package var seesClient: Bool
    /// RAMEN: the largest sequence number seen, 0 for none; nil on other transports.
    package var ramenSeq: UInt64?
    /// When the session ends unless it is renewed; Unix time in milliseconds, nil for never.
    package var expiresAtMs: Int64?
    /// A poll: one answer, in which no lane needs room kept for another.
    package var isPoll: Bool
    /// A short poll: never takes over a live session.
    package var beside: Bool
    package var transport = TransportKind.sse
    /// Topics to subscribe to from the start; each must be allowed by ``rights``, or the session is refused.
    package var topics: [SubscribeWish] = []
    /// What its token allows.
    package var rights = TopicRights.unsaid
    /// A session that may be kept, which reads no inbox before ``SessionHandle/openInbox(windowMessages:acks:done:)``; nil for all others.
    /// It needs a ``device``.
    package var terms: SessionTerms?
    /// With ``beside``: beside a live session, ``topics`` and ``unsubscribe`` are for that one.
    package var changesLive = false
    package var unsubscribe: [TopicFilter] = []

    package init(app: AppID, user: String?, device: String?, ackMode: AckMode, limits: Limits) {
        self.app = app
        self.user = user
        self.device = device
        self.ackMode = ackMode
        self.windowMessages = limits.windowMessages
        self.windowBytes = limits.windowBytes
        self.heartbeatMs = limits.heartbeatMs
        self.cursor = nil
        self.automaticReconnect = false
        self.fromNow = false
        self.seesClient = false
        self.ramenSeq = nil
        self.expiresAtMs = nil
        self.isPoll = false
        self.beside = false
    }
}

/// What a transport needs of the node.
package protocol SessionGateway: Sendable {
    /// Opens a session for a connection. Call on the event loop with this index; `client` is called on it.
    func open(_ hello: Hello, client: any LiveClient, shard: Int) -> any SessionHandle

    /// Whether a client may publish to a topic.
    func mayPublish(_ topic: String, app: AppID, rights: TopicRights) -> Bool

    /// Acks without a session, by cursor; the same on any node.
    ///
    /// - Parameter done: called on any thread; an error if the position could not be taken.
    func ack(_ cursor: Cursor, app: AppID, user: String?, device: String, done: @escaping @Sendable (WireError?) -> Void)

    /// Acks by seq on a live session of any shard.
    func ack(
        _ ack: SeqAck, session: String, app: AppID, user: String?, device: String?,
        done: @escaping @Sendable (WireError?) -> Void)

    /// Lets a live session of any shard go on until another time; see ``SessionHandle/renew(app:user:device:expiresAtMs:rights:)``.
    ///
    /// - Parameters:
    ///   - device: nil for any.
    ///   - done: called on any thread; `session_unknown` if the session is not live, or is another user's or device's.
    func renew(
        session: String, app: AppID, user: String, device: String?, expiresAtMs: Int64?, rights: TopicRights,
        done: @escaping @Sendable (WireError?) -> Void)

    /// Ends the live sessions of a user, or of one device of it, with ``CloseCode/disconnected``.
    ///
    /// - Parameter done: called on any thread with how many there were.
    func disconnect(app: AppID, user: String, device: String?, done: @escaping @Sendable (Int) -> Void)

    /// Acks by RAMEN sequence number; on the live session if there is one, else by the recorded marks.
    func ack(ramen seq: UInt64, app: AppID, user: String?, device: String, done: @escaping @Sendable (WireError?) -> Void)
}

/// Sequence numbers that a client has handled.
package enum SeqAck: Equatable, Sendable {
    /// Everything up to and with it.
    case upTo(UInt64)
    /// Just these; handlers finish out of order.
    case each([UInt64])
}

/// A transport's hold on its session. Used on the event loop that opened it.
package protocol SessionHandle: AnyObject {
    /// - Throws: `seq_unknown` if a number was never sent.
    func ack(_ ack: SeqAck) throws(WireError)

    /// - Throws: `invalid_cursor` if it is another's.
    func ack(_ cursor: Cursor) throws(WireError)

    /// From now on the session ends at another time, and may what the newer token says: subscriptions beyond that end.
    ///
    /// - Parameters:
    ///   - device: nil for any.
    ///   - expiresAtMs: Unix time in milliseconds, nil for never.
    /// - Throws: `forbidden` if it is another user's or device's session.
    func renew(app: AppID, user: String?, device: String?, expiresAtMs: Int64?, rights: TopicRights) throws(WireError)

    /// Subscribes to topics; those that are subscribed to already change nothing. Answered with ``LiveClient/subscribed(_:)``.
    ///
    /// - Throws: `forbidden` if one of them is not allowed, `too_many_topics`; then none of them is subscribed to.
    func subscribe(_ wishes: [SubscribeWish]) throws(WireError)

    /// Ends subscriptions. Each is answered with ``LiveClient/unsubscribed(_:_:)``, also what is not subscribed to.
    func unsubscribe(_ filters: [TopicFilter])

    /// Publishes to a topic for the client.
    ///
    /// - Parameter done: called on any thread.
    /// - Throws: `forbidden` if its rights do not allow it.
    func publish(_ request: AppendRequest, done: @escaping @Sendable (AppendOutcome) -> Void) throws(WireError)

    // MARK: With terms

    /// As ``subscribe(_:)``; a subscription that is there gets the new options.
    ///
    /// - Parameter done: called on the session's loop once the subscriptions are kept: at once if the session is not.
    /// - Throws: as there; nothing is called then.
    func subscribe(_ wishes: [SubscribeWish], done: @escaping (WireError?) -> Void) throws(WireError)

    /// Ends subscriptions.
    ///
    /// - Parameters:
    ///   - all: filters, with the group if it is a shared one.
    ///   - done: called on the session's loop with, for each, whether it was there.
    func unsubscribe(_ all: [(filter: TopicFilter, share: String?)], done: @escaping ([Bool]) -> Void)

    /// From now on the messages of the device's inboxes come, too.
    ///
    /// - Parameters:
    ///   - acks: whether they are acked; otherwise one counts as delivered when the socket has it.
    ///   - done: called on the session's loop.
    func openInbox(windowMessages: Int, acks: Bool, done: @escaping (WireError?) -> Void)

    /// - Returns: whether it was open.
    func closeInbox() -> Bool

    /// The client has a message of a topic that was sent with QoS 1.
    ///
    /// - Returns: false if no such message is under way under this number.
    func acked(number: UInt16) -> Bool

    /// The client has forgotten the number of a message that was sent with QoS 2.
    ///
    /// - Returns: false if it was not told to.
    func completed(number: UInt16) -> Bool

    /// The client has received a message with QoS 2, or refuses it. When it may be told to forget the number, that is
    /// ``LiveClient/release(_:)``.
    ///
    /// - Returns: false if no such message is under way under this number.
    func received(number: UInt16, isRefused: Bool) -> Bool

    /// Makes a message of the client's ready for ``publishReady(_:done:)``: several of one turn go together.
    ///
    /// - Parameter number: with QoS 2, 1 to 65,535: what comes again under a number that was not released is not published again.
    /// - Returns: nil if it was published before.
    /// - Throws: `forbidden` if its rights do not allow it.
    func ready(_ request: AppendRequest, number: UInt16?) throws(WireError) -> AppendRequest?

    /// - Parameter done: called on any thread, when the messages are stored, and their numbers with the session, if that is kept.
    func publishReady(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void)

    /// A message that was ready could not be published: its number may come again.
    func forget(number: UInt16)

    /// The client is done with a number of its own.
    ///
    /// - Parameter done: called on any thread: whether it was known, or nil if that could not be stored.
    func release(number: UInt16, done: @escaping @Sendable (Bool?) -> Void)

    /// The client says that it goes, and is gone with this: nothing is called on its ``LiveClient`` any more.
    ///
    /// - Parameters:
    ///   - withWill: whether its will is published all the same.
    ///   - expirySeconds: how long the session is kept from now on; nil as before.
    ///   - done: called on the session's loop when the store has all that, or cannot have it now. Perhaps before this returns.
    func leaves(withWill: Bool, expirySeconds: Int?, done: @escaping () -> Void)

    /// Everything that was flushed is in the kernel's hands.
    func socketTook()

    /// Bytes came from the client.
    func heard()

    /// The connection is gone, or the poll was answered.
    func clientClosed()
}
