import MartletCore
import MartletWire

/// One call that waits for the writer.
enum Operation: Sendable {
    case append(AppendJob)
    case recall(MessageID, AppID, @Sendable (Result<RecallOutcome?, StoreError>) -> Void)
    case open(DeviceOpening, @Sendable (Result<DeviceRecord, StoreError>) -> Void)
    case record([DeviceUpdate])
    case reserve(UInt64, DeviceKey, @Sendable (Result<UInt64, StoreError>) -> Void)
    case trim(TopicKey, upTo: UInt64)
    case save([SessionSave], @Sendable (StoreError?) -> Void)
    /// Runs once everything before it is committed, or has failed.
    case barrier(@Sendable () -> Void)
    /// Runs in its place among the others, with all changes before it applied in memory.
    case fence(@Sendable () -> Void)
    /// Writes everything that is kept in memory, then says whether it could.
    case settle(@Sendable (StoreError?) -> Void)

    /// What it counts for in the queue, in bytes.
    var bytes: Int {
        switch self {
        case .append(let job): job.bytes
        case .save(let sessions, _): sessions.reduce(0) { $0 + $1.weight }
        default: 0
        }
    }

    /// Whether nothing of it is left to do for a later commit.
    var isTaken: Bool {
        if case .append(let job) = self { job.next >= job.requests.count } else { true }
    }
}

/// One call of `append`, which several commits may take in parts. Used by the writer only, once it waits.
final class AppendJob: @unchecked Sendable {
    let requests: [AppendRequest]
    let bytes: Int
    /// The next request to store.
    var next = 0
    /// Requests that have an outcome, in this or an earlier commit.
    var taken = 0
    var outcomes: [AppendOutcome] = []
    let done: @Sendable ([AppendOutcome]) -> Void

    init(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        self.requests = requests
        self.bytes = requests.reduce(0) { $0 + $1.members.count + 64 + ($1.save?.weight ?? 0) }
        self.done = done
    }

    /// Takes the outcomes of the next part; with the last one the caller is told.
    func complete(_ part: [AppendOutcome]) {
        if self.outcomes.isEmpty, part.count == self.requests.count {
            self.done(part)
        } else {
            self.outcomes += part
            if self.outcomes.count == self.requests.count { self.done(self.outcomes) }
        }
    }
}

/// What one commit does, and whom to tell how it went.
struct Group {
    var inTransaction = false
    /// Says that COMMIT was reached.
    var committing = false
    var changesBefore: Int32 = 0
    /// Whether the commit had anything to write.
    var wrote = false
    var rows = 0
    var items: [Indexer.Item] = []
    var commits: [Commit] = []
    var recalled: [UInt64] = []
    /// Changes of sessions that are not written yet, one for each.
    var sessions: [DeviceKey: SessionSave.Change] = [:]
    /// Trims that are not done yet.
    var trims: [TopicKey: UInt64] = [:]
    /// Lanes that lose what is up to an offset.
    var drops: [LaneKey: UInt64] = [:]
    /// The topics that changed, by id, as they are after it.
    var topics: [Int64: TopicState] = [:]
    /// What was taken back of them.
    var recalledOf: [(topic: Int64, offset: UInt64)] = []
    /// Messages deleted that no topic keeps any more.
    var reaped = 0
    var topicSweepPosition: Int64?
    /// Inboxes that grew.
    var touched: Set<Int64> = []
    /// Idempotency keys added and deleted, by app.
    var keys: [AppID: Int] = [:]
    var flushed: [DeviceKey: DeviceState] = [:]
    /// What to put back into memory if the commit fails: records, and the updates taken since.
    var undo: [(DeviceKey, DeviceState?)] = []
    var updates: [DeviceUpdate] = []
    var indexedRows = 0
    var indexedUpTo: UInt64?
    var sweepPosition: Int64?
    /// For the metrics: messages cleared at their expiry, and pushed out of full inboxes.
    var expired = 0
    var dropped = 0
    var completions: [Completion] = []
    /// The answer to an opening that could not be written but can do without.
    var spare: DeviceRecord?

    enum Completion {
        case append(AppendJob, [AppendOutcome])
        case recall(Result<RecallOutcome?, StoreError>, @Sendable (Result<RecallOutcome?, StoreError>) -> Void)
        /// `written`: whether it holds only once the group is committed; `spare`: what holds if it is not.
        case open(
            Result<DeviceRecord, StoreError>, written: Bool, spare: DeviceRecord? = nil,
            @Sendable (Result<DeviceRecord, StoreError>) -> Void)
        case reserve(Result<UInt64, StoreError>, @Sendable (Result<UInt64, StoreError>) -> Void)
        /// Of what only may fail.
        case plain(StoreError?, @Sendable (StoreError?) -> Void)
    }

    /// Whether it takes no further operation. Changes of sessions are small and hold up no message.
    func isFull(_ limit: Int) -> Bool { self.rows >= limit || self.sessions.count >= max(limit, Self.sessionLimit) }

    private static let sessionLimit = 2_000
}
