public import Foundation

/// A client of a Martlet server: messages of an inbox and of topics as asynchronous sequences, over one connection.
///
/// ```swift
/// let martlet = Martlet(url: url, token: { try await fetchToken() })
/// for try await message in martlet.messages() {
///     try await show(message)        // acked when the loop asks for the next one
/// }
/// ```
///
/// It connects when the first sequence is iterated or something is published, comes back by itself after a loss, goes on where it
/// was, and hands each message to a loop once. It lives as long as it, or a sequence of its, is held: then, or with ``close()``, its
/// one task is cancelled and the connection ends.
public final class Martlet: Sendable {
    let engine: Engine

    /// - Parameters:
    ///   - url: the server, as `https://push.example.com`; a path before `/v1` is kept.
    ///   - device: which device this is; by default one of its own, made at the first start and kept.
    ///   - options: all else.
    ///   - token: gives a token of the user's, made by your back end. Called before connecting, before a token ends, and once when one
    ///     was refused; give a new one each time. If it throws, it is called again after a pause.
    public init(
        url: URL, device: Device = .automatic, options: MartletOptions = MartletOptions(), token: @escaping @Sendable () async throws -> String
    ) {
        self.engine = Engine(url: url, token: token, user: nil, device: device, options: options)
    }

    /// A client of a server in dev mode, where a name stands for a token.
    ///
    /// - Parameters:
    ///   - url: the server, as `http://127.0.0.1:8080`.
    ///   - user: who this is; without one there are the messages of the device, and topics.
    ///   - device: which device this is; by default one of its own, made at the first start and kept.
    ///   - options: all else.
    public init(url: URL, user: String?, device: Device = .automatic, options: MartletOptions = MartletOptions()) {
        self.engine = Engine(url: url, token: nil, user: user, device: device, options: options)
    }

    /// With both: a token's user may be named beside it, and must be the token's.
    package init(url: URL, user: String?, device: Device, options: MartletOptions, token: (@Sendable () async throws -> String)?) {
        self.engine = Engine(url: url, token: token, user: user, device: device, options: options)
    }

    deinit { self.engine.abandon() }

    // MARK: Messages

    /// When a message counts as handled.
    public enum Acks: Sendable {
        /// When the loop asks for the next one. Whoever leaves the loop says it by hand for the last one.
        case automatic
        /// When ``Message/ack()`` is called.
        case manual
    }

    /// The messages of the inbox: the user's, the device's, and those to all.
    ///
    /// - Parameters:
    ///   - type: only those with this type; several sequences may want the same.
    ///   - acks: when a message counts as handled. Until then it comes again after a restart.
    public func messages(type: String? = nil, acks: Acks = .automatic) -> Messages {
        Messages(Subscription(self, .inbox(type: type)), isAutomatic: acks == .automatic)
    }

    /// The messages of the inbox with one type, as values. One that is no such value ends the sequence with a `DecodingError`, and counts
    /// as handled once the next sequence asks for what follows.
    ///
    /// - Parameters:
    ///   - value: what the data is.
    ///   - type: the messages' type.
    public func messages<Value: Decodable & Sendable>(as value: Value.Type, type: String) -> Values<Value> {
        Values(self.messages(type: type))
    }

    /// The messages of a topic, or of all topics that a filter with `+` and `#` matches.
    ///
    /// - Parameters:
    ///   - name: a topic or filter.
    ///   - since: where it begins each time; by default where this client was, or else with what comes from now on.
    public func topic(_ name: String, since: Since? = nil) -> Messages {
        Messages(Subscription(self, .topic(name), since: since), isAutomatic: true)
    }

    /// The messages of a topic as values. One that is no such value ends the sequence with a `DecodingError`.
    public func topic<Value: Decodable & Sendable>(_ name: String, as value: Value.Type, since: Since? = nil) -> Values<Value> {
        Values(self.topic(name, since: since))
    }

    /// The inbox and several filters in one sequence: each message once, in the order in which it came.
    package func everything(inbox: Bool, topics: [String], since: Since?) -> Messages {
        Messages(Subscription(self, .several(inbox: inbox, topics: topics), since: since), isAutomatic: true)
    }

    /// Who comes to a topic and who leaves it, if the token may see it. Unlike a sequence of messages it does not keep the client alive.
    public func presence(of topic: String) -> AsyncThrowingStream<Presence, any Error> {
        self.engine.start()
        return self.engine.watch(topic)
    }

    // MARK: Publishing

    /// Publishes to a topic, if the token may. Waits for a connection, and for the server to have it.
    ///
    /// - Parameters:
    ///   - value: what is published, as JSON.
    ///   - topic: its name.
    ///   - type: for the receivers' programs.
    ///   - ttl: seconds to live; by default as long as the topic keeps it.
    ///   - retain: becomes the topic's value.
    ///   - idempotencyKey: makes a repeat harmless, for 24 hours; by default one of its own, so that what is sent again after a loss is
    ///     stored once.
    /// - Returns: the id of the message.
    /// - Throws: ``MartletError`` if the server refuses it, the queue is full or the client closed; `CancellationError`; what encoding throws.
    @discardableResult
    public func publish(
        _ value: some Encodable & Sendable, to topic: String, type: String? = nil, ttl: Int? = nil, retain: Bool = false,
        idempotencyKey: String? = nil
    ) async throws -> String {
        let data = try JSONEncoder().encode(value)
        return try await self.engine.publish(
            Draft(
                ref: 0, topic: topic, data: Array(data), type: type, ttlSeconds: ttl, retain: retain,
                idempotencyKey: idempotencyKey ?? UUID().uuidString.lowercased()))
    }

    // MARK: The connection

    /// What the connection does now.
    public var status: Status { self.engine.state.with { $0.status } }

    /// What the connection does, beginning with now. Whoever reads slowly misses the oldest.
    public var statuses: AsyncCompactMapSequence<AsyncStream<Notice>, Status> {
        self.engine.listen().compactMap { if case .status(let status) = $0 { status } else { nil } }
    }

    /// All that happens beside messages: the status first, gaps, subscriptions that ended, what failed and is tried again.
    public var notices: AsyncStream<Notice> { self.engine.listen() }

    /// Ends the connection and all sequences. Says to the server what was handled, and saves the position; takes at most about two seconds.
    public func close() async { await self.engine.close() }
}
