package import MartletWire

/// Where messages, device positions and delivery records live. The guarantees below are the whole contract;
/// `LogStoreContract` in MartletTestSupport checks each of them on any implementation.
///
/// **Order of calls.** Calls that change something (`append`, `recall`, `openDevice`, `record`, `reserve`, `trim`, `save`) take effect in
/// the order in which they were made, and see each other's effects. A `read` or `status` made after a completion was
/// called sees what that completion reported.
///
/// **Offsets** grow in commit order across all inboxes of the store, and are never reused within an epoch. A message
/// that goes to several inboxes has one offset. So offsets compare across lanes, and ids (``MessageID``) compare as offsets do.
///
/// **Durability.** `append` completes with `.stored` only when the message is stored at the configured durability; a
/// message reported as stored survives every crash that the durability covers. One that failed may or may not exist,
/// but is never delivered unless it exists durably. Nothing is announced to the observer before its commit.
///
/// **Threads.** Every call may come from any thread and returns at once. Completions and the observer are called on
/// a thread of the store's and must return quickly.
package protocol LogStore: AnyObject, Sendable {
    /// Names the unbroken history. A new one begins when acknowledged messages may have been lost: after an unclean
    /// stop with durability below `full`, and after a restored backup.
    var epoch: UInt32 { get }

    /// The offset of the newest commit that was announced to the observer, or is about to be. May be called from any thread.
    var end: UInt64 { get }

    /// Says who is told of commits. Called once, before the first other call.
    ///
    /// The observer gets every commit exactly once, in commit order, before the completions of what it holds.
    func observe(_ observer: @escaping @Sendable (_ commits: [Commit]) -> Void)

    /// Stores messages.
    ///
    /// Each request is stored or refused as a whole, by itself. Within the call, order is kept.
    /// - A known idempotency key with the same digest answers `.stored` with the first message's id and stores nothing;
    ///   with another digest, `.conflict`. Keys are remembered for `idempotencySeconds`, across restarts;
    ///   above `idempotencyEntries` of an app its oldest are forgotten.
    /// - A collapse key makes the message the newest of that key in each target inbox; see ``LogEntry``.
    /// - An inbox over its limit loses the oldest messages of its lowest lane, which `read` then reports as a ``LogGap``.
    /// - `liveOnly` requests (ttl 0) get an offset, an id and a status, but are never returned by `read`.
    ///
    /// - Parameter done: one outcome per request, in their order.
    func append(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void)

    /// Takes a message back: from the commit on, no `read` returns it. What it had collapsed stays gone. Announced to the
    /// observer as ``Commit/recalled(_:)``. Recalling again succeeds and changes nothing.
    ///
    /// - Parameter done: the state after it; nil if the app has no such message.
    func recall(_ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void)

    /// Notes that a device connects, creating its record if there is none, and returns the record.
    ///
    /// A record that is new, or bound to another user than before, is durable before `done` is called.
    /// A known record can be opened while the store cannot write; it then has the sequence numbers that are left, which may
    /// be none.
    func openDevice(_ request: DeviceOpening, done: @escaping @Sendable (Result<DeviceRecord, StoreError>) -> Void)

    /// Takes positions and delivery times. Seen by `openDevice` and `status` at once; written within a second, or as soon
    /// as the store can write. Positions only move forward. An update for another user than the record's moves only the
    /// device's and the app's lanes. An unknown device is ignored. `delivered` and `sent` ranges go to the journal.
    /// Device inboxes are trimmed by ack: what a device's own lane has acked may be deleted.
    func record(_ updates: [DeviceUpdate])

    /// Reserves a block of sequence numbers for a device (RAMEN), durably before `done`.
    ///
    /// - Parameter done: the end of the block (exclusive).
    func reserve(_ count: UInt64, for device: DeviceKey, done: @escaping @Sendable (Result<UInt64, StoreError>) -> Void)

    /// Reads what a device has pending, most urgent first.
    ///
    /// - Parameter done: see ``ReadResult``; one consistent snapshot.
    func read(_ request: ReadRequest, done: @escaping @Sendable (Result<ReadResult, StoreError>) -> Void)

    /// Reads the messages of a topic, or of all topics that match a filter, in the order of their offsets.
    ///
    /// A request with ``AppendRequest/topic`` is a message of that topic, in one order with all others. A topic keeps as many messages, as
    /// old and as many bytes as its newest append says (``TopicAppend/Keep``); what went for it is told as a gap to who asks for what comes
    /// after an older offset, for as long as cursors live. What expired by its own TTL, or was recalled, is left out without one.
    ///
    /// A gap begins where the reading does and may end beyond its ``TopicSlice/position``: whoever reads on is told the rest of it again.
    /// More gaps than a store cares to name (1,000) are told as one of the filter's text. A reading by a wildcard looks at a bounded part
    /// of the log: it may return nothing, and more, with a position further on.
    func readTopic(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void)

    /// Reads retained values. Kept until replaced or cleared by a later append, or expired.
    func retained(_ request: RetainedRequest, done: @escaping @Sendable (Result<RetainedSlice, StoreError>) -> Void)

    /// What is kept of a topic.
    func topicInfo(_ topic: TopicKey, now: Int64, done: @escaping @Sendable (Result<TopicLogInfo, StoreError>) -> Void)

    /// Forgets what a topic holds up to an offset, because all for whom it was kept have it. No gap is told of it. Seen by reads that come
    /// after the next commit. While the store cannot write it does nothing: a later one does it as well.
    func trim(_ topic: TopicKey, upTo offset: UInt64)

    /// Keeps, replaces or deletes records of sessions.
    ///
    /// - Parameter done: called when they are stored at the configured durability; with an error none of them is.
    func save(_ sessions: [SessionSave], done: @escaping @Sendable (StoreError?) -> Void)

    /// All records of sessions, at the start.
    func loadSessions(done: @escaping @Sendable (Result<[SessionRow], StoreError>) -> Void)

    /// Whether it could write when it last tried.
    var isWritable: Bool { get }

    /// Topics that are known, at the start.
    ///
    /// - Parameters:
    ///   - prefix: what their names begin with.
    ///   - done: called with them, and with the newest offset of all messages that were stored; 0 for none.
    func topics(
        beginningWith prefix: String, done: @escaping @Sendable (Result<(topics: [TopicKey], newest: UInt64), StoreError>) -> Void)

    /// What became of a message on each device that it addresses.
    ///
    /// - Parameter done: nil if the app has no such message.
    func status(_ request: StatusRequest, done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void)

    /// Writes what is waiting and closes. With `done(nil)` the next start knows that this stop was clean.
    func stop(done: @escaping @Sendable (StoreError?) -> Void)
}

/// Why a store could not do what was asked. Always temporary.
package struct StoreError: Error, Equatable, Sendable {
    package var reason: Reason
    /// For the operator's log: what the store said. Not for clients.
    package var detail: String

    package enum Reason: Equatable, Sendable {
        /// Disk full, read-only, or broken. Nothing was stored.
        case unavailable
        /// The store is closing.
        case stopped
        /// The user has as many devices as it may.
        case tooManyDevices
    }

    package init(_ reason: Reason, _ detail: String = "") {
        self.reason = reason
        self.detail = detail
    }
}

/// What became of one append.
package enum AppendOutcome: Equatable, Sendable {
    /// Durably stored. `repeated`: by an earlier publish with the same idempotency key.
    case stored(MessageID, repeated: Bool)
    /// The idempotency key belongs to another message.
    case conflict
    case failed(StoreError)
}

package enum RecallOutcome: Equatable, Sendable {
    case recalled
    /// It had expired already.
    case expired
}

/// One thing that the store has committed.
package enum Commit: Sendable {
    /// `targets` as in the request. `superseded` holds, for each target by its index, the offset of the message that had the
    /// collapse key in that inbox before, if any.
    case stored(StoredMessage, targets: [InboxKey], superseded: [UInt64?])
    /// A message of a topic.
    case published(StoredMessage, topic: TopicKey)
    /// The message with this offset is not to be sent any more; no targets if it is a topic's.
    case recalled(offset: UInt64, targets: [InboxKey])
}
