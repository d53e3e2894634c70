import GRDBSQLite
import Logging
import MartletCore
import MartletWire
import Synchronization

/// The one thread that changes the database. It takes everything that waits, stores it in groups, one commit each, and
/// tells first the observer, then the callers.
///
/// All members but ``queue`` and ``shared`` belong to that thread.
final class Writer: @unchecked Sendable {
    struct Queue {
        var operations: [Operation] = []
        var bytes = 0
        var observer: (@Sendable ([Commit]) -> Void)?
        var phase = Phase.running
    }

    enum Phase {
        case running
        /// Takes nothing new, and ends when nothing waits.
        case stopping
        /// Ends at once.
        case abandoned
    }

    let queue = Monitor(Queue())
    let shared: Shared
    let db: Connection
    let sql: WriterStatements
    let topicSQL: TopicStatements
    let configuration: SQLiteStoreConfiguration
    let environment: SQLiteStoreEnvironment
    let checkpointer: Checkpointer
    let logger: Logger
    let metrics: StoreMetrics
    let reportMs: Int64

    var ids: IDGenerator
    var nextOffset: UInt64
    var indexer = Indexer()
    var inboxes: [InboxKey: Int64] = [:]
    var stats: [Int64: InboxStats] = [:]
    var topicIDs: [TopicKey: Int64] = [:]
    var books: [Int64: TopicBook] = [:]
    /// Whether topics may have messages that they keep no longer.
    var isReaping = true
    var topicSweepPosition: Int64 = 0
    /// For how long an empty topic that lost something is remembered, in milliseconds; and how many are, as counted so far.
    var rememberedMs: Int64
    var remembered = 0
    /// Idempotency keys of each app that has any.
    var keyCounts: [AppID: Int]
    /// The clocks as of the current group.
    var now: Int64 = 0
    var wall: Int64 = 0
    /// A group whose COMMIT failed and that could not be looked for since.
    var doubtful: Group?
    var healthy = true {
        didSet { self.shared.isWritable.store(self.healthy, ordering: .relaxed) }
    }
    /// Updates of devices whose records could not be read.
    var deferred: [DeviceUpdate] = []
    var oldestDirtyMs: Int64?
    var nextExpiryCheckMs: Int64 = 0
    var nextSweepMs: Int64 = 0
    var sweepPosition: Int64 = 0
    var lastAppendMs: Int64 = 0
    var lastClockMs: Int64 = 0
    /// Bytes of SQLite's log from which on commits wait until it starts again.
    var logBound: Int
    /// Pages in SQLite's log after the last commit.
    var logPages: Int32 = 0

    struct InboxStats {
        var count: Int
        var bytes: Int
        var scannedAt: Int64 = .min
    }

    init(
        shared: Shared, db: Connection, configuration: SQLiteStoreConfiguration, environment: SQLiteStoreEnvironment,
        checkpointer: Checkpointer, logger: Logger, metrics: StoreMetrics, lastID: MessageID?, unindexed: [Indexer.Item]
    ) throws {
        self.shared = shared
        self.db = db
        self.sql = try WriterStatements(db)
        self.topicSQL = try TopicStatements(db)
        self.configuration = configuration
        self.environment = environment
        self.checkpointer = checkpointer
        self.logger = logger
        self.metrics = metrics
        self.logBound = configuration.logBytes
        self.reportMs = Int64(configuration.limits.reportSeconds) * 1_000
        self.rememberedMs = Int64(configuration.limits.deviceUnseenSeconds) * 1_000
        self.keyCounts = try Self.countKeys(db)
        self.ids = IDGenerator(after: lastID)
        self.nextOffset = shared.memtable.withLock { $0.end } + 1
        for item in unindexed { self.indexer.add(item) }
    }

    /// Queues an operation.
    ///
    /// - Returns: nil, or why it is refused.
    func submit(_ operation: Operation) -> StoreError? {
        let limit = self.configuration.queueBytes
        let bytes = operation.bytes
        return self.queue.change { queue in
            guard queue.phase == .running else { return (StoreError(.stopped), false) }
            if bytes > 0 {
                guard queue.bytes + bytes <= limit || queue.operations.isEmpty else {
                    return (StoreError(.unavailable, "too many messages wait to be stored"), false)
                }
                queue.bytes += bytes
            }
            queue.operations.append(operation)
            return (nil, queue.operations.count == 1)
        }
    }

    /// The thread's function.
    func run() {
        // SQLite calls this after each commit, instead of checkpointing by itself.
        sqlite3_wal_hook(
            self.db.handle,
            { context, _, _, pages in
                if let context { Unmanaged<Writer>.fromOpaque(context).takeUnretainedValue().logPages = pages }
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
        while true {
            let taken = self.queue.wait(timeoutMs: self.configuration.flushMs / 2) {
                queue -> (operations: [Operation], phase: Phase)? in
                guard !queue.operations.isEmpty || queue.phase != .running else { return nil }
                defer {
                    queue.operations = []
                    queue.bytes = 0
                }
                return (queue.operations, queue.phase)
            }
            if taken?.phase == .abandoned {
                self.refuse(taken?.operations ?? [])
                return
            }
            if let operations = taken?.operations, !operations.isEmpty {
                self.process(operations)
            } else if taken != nil {
                return
            }
            if taken == nil { self.idle() }
        }
    }

    private func refuse(_ operations: [Operation]) {
        var group = Group()
        for operation in operations { self.fail(operation, StoreError(.stopped), whole: true, &group) }
        self.complete(group.completions)
    }

    /// Stores what was taken, in groups.
    private func process(_ operations: [Operation]) {
        var index = 0
        while index < operations.count {
            var group = self.newGroup()
            do {
                do {
                    try self.resolveDoubt()
                } catch {
                    self.fail(operations[index], StoreError(.unavailable), whole: true, &group)
                    index += 1
                    throw error
                }
                while index < operations.count, !group.isFull(self.configuration.groupRows) {
                    let operation = operations[index]
                    do {
                        try self.apply(operation, &group)
                        if operation.isTaken { index += 1 }
                    } catch {
                        self.fail(operation, StoreError(.unavailable), &group)
                        if operation.isTaken { index += 1 }
                        throw error
                    }
                }
                try self.carry(&group)
                try self.commit(&group)
            } catch {
                self.rescue(group, error as? SQLiteError ?? SQLiteError(code: SQLITE_ERROR, message: "\(error)"))
                continue
            }
            self.publish(group)
        }
    }

    func newGroup() -> Group {
        self.now = self.environment.now()
        self.wall = self.environment.wall()
        return Group()
    }

    func begin(_ group: inout Group) throws(SQLiteError) {
        guard !group.inTransaction else { return }
        try self.sql.begin.run()
        group.inTransaction = true
        group.changesBefore = sqlite3_total_changes(self.db.handle)
    }

    func commit(_ group: inout Group) throws(SQLiteError) {
        guard group.inTransaction else { return }
        group.committing = true
        let start = monotonicNs()
        try self.sql.commit.run()
        self.metrics.committed(group, nanoseconds: monotonicNs() - start)
        group.wrote = sqlite3_total_changes(self.db.handle) != group.changesBefore
    }
}
