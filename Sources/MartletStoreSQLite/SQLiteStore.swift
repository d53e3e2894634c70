import GRDBSQLite
package import Logging
package import MartletCore
package import MartletWire
import Synchronization

/// A ``LogStore`` in one SQLite file.
///
/// One thread writes, in groups of what waits; a few read; one moves SQLite's log into the file. Changes and readings
/// meet in the database and in ``Memtable``, which holds the newest messages until they are indexed.
///
/// With `durability` below `full` an acknowledged message survives the end of the process but not a power failure;
/// after an unclean stop the store then has a new ``epoch``.
package final class SQLiteStore: LogStore {
    /// The database file in the store's folder.
    package static let fileName = "martlet.sqlite"

    package let epoch: UInt32
    /// Whether the last run did not end by ``stop(done:)``.
    package let wasUnclean: Bool
    private let clock: ClockSample?
    let shared: Shared
    let writer: Writer
    let folder: String
    private let readers: ReaderPool
    private let checkpointer: Checkpointer
    private let lock: FolderLock
    private let logger: Logger

    private struct Life {
        var worker: Worker?
        var onStop: [@Sendable (StoreError?) -> Void] = []
        var settled: StoreError?
        var ended = false
    }

    private let life = Mutex(Life())

    /// Opens the store, which does nothing before ``observe(_:)``.
    ///
    /// - Throws: ``StoreStartError`` if the folder cannot be made or is in use, or the file is damaged or newer than
    ///   this.
    package init(
        _ configuration: SQLiteStoreConfiguration, environment: SQLiteStoreEnvironment, logger: Logger,
        metrics: StoreMetrics = StoreMetrics()
    ) throws(StoreStartError) {
        try FolderLock.makeFolder(configuration.folder)
        let lock = try FolderLock(folder: configuration.folder)
        do {
            let opening = try Opening(configuration, random: environment.random)
            let path = configuration.folder + "/" + Self.fileName
            let open: @Sendable () throws -> Connection = { try Connection(path: path, vfs: configuration.fileSystem) }
            let durability = configuration.durability
            let checkpointer = try Checkpointer {
                let db = try open()
                try db.execute("PRAGMA synchronous = \(durability.pragma)")
                return db
            }
            self.writer = try Writer(
                shared: opening.shared, db: opening.db, configuration: configuration, environment: environment,
                checkpointer: checkpointer, logger: logger, metrics: metrics, lastID: opening.lastID, unindexed: opening.unindexed)
            self.readers = try ReaderPool(count: configuration.readers, shared: opening.shared, open: open)
            self.checkpointer = checkpointer
            self.shared = opening.shared
            self.epoch = opening.epoch
            self.wasUnclean = opening.wasUnclean
            self.clock = opening.clock
        } catch {
            lock.release()
            throw error as? StoreStartError ?? StoreStartError("The store cannot be opened: \(error).")
        }
        self.lock = lock
        self.folder = configuration.folder
        self.logger = logger
    }

    package var end: UInt64 { self.shared.memtable.withLock { $0.end } }

    /// Whether the last commit went well. After one that did not, an attempt is made here, so that asking again tells.
    package var isWritable: Bool {
        if self.shared.isWritable.load(ordering: .relaxed) { return true }
        self.settle { _ in }
        return false
    }

    /// The clock as it was kept last; nil if it never was.
    package func loadClock() -> ClockSample? { self.clock }

    package func observe(_ observer: @escaping @Sendable (_ commits: [Commit]) -> Void) {
        self.writer.queue.withLock { $0.observer = observer }
        self.life.withLock { life in
            guard life.worker == nil, !life.ended else { return }
            do {
                life.worker = try Worker { [self] in
                    self.writer.run()
                    self.finish()
                }
            } catch {
                self.logger.critical("the store has no thread", metadata: ["error": "\(error)"])
                self.writer.queue.withLock { $0.phase = .abandoned }
            }
        }
    }

    package func append(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        let job = AppendJob(requests, done: done)
        if let error = self.writer.submit(.append(job)) { done(requests.map { _ in .failed(error) }) }
    }

    package func recall(
        _ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void
    ) {
        if let error = self.writer.submit(.recall(id, app, done)) { done(.failure(error)) }
    }

    package func openDevice(
        _ request: DeviceOpening, done: @escaping @Sendable (Result<DeviceRecord, StoreError>) -> Void
    ) {
        if let error = self.writer.submit(.open(request, done)) { done(.failure(error)) }
    }

    package func record(_ updates: [DeviceUpdate]) { _ = self.writer.submit(.record(updates)) }

    package func reserve(
        _ count: UInt64, for device: DeviceKey, done: @escaping @Sendable (Result<UInt64, StoreError>) -> Void
    ) {
        if let error = self.writer.submit(.reserve(count, device, done)) { done(.failure(error)) }
    }

    package func read(_ request: ReadRequest, done: @escaping @Sendable (Result<ReadResult, StoreError>) -> Void) {
        self.onReader({ try $0.read(request) }, done)
    }

    package func readTopic(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void) {
        self.onReader({ try $0.readTopic(request) }, done)
    }

    package func retained(_ request: RetainedRequest, done: @escaping @Sendable (Result<RetainedSlice, StoreError>) -> Void) {
        self.onReader({ try $0.retained(request) }, done)
    }

    package func topicInfo(_ topic: TopicKey, now: Int64, done: @escaping @Sendable (Result<TopicLogInfo, StoreError>) -> Void) {
        self.onReader({ try $0.topicInfo(topic, now: now) }, done)
    }

    func onReader<Value: Sendable>(
        _ body: @escaping @Sendable (Reader) throws -> Value, _ done: @escaping @Sendable (Result<Value, StoreError>) -> Void
    ) {
        let taken = self.readers.submit { reader in done(Result { try body(reader.get()) }.mapError(Self.storeError)) }
        if !taken { done(.failure(StoreError(.stopped))) }
    }

    package func status(
        _ request: StatusRequest, done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void
    ) {
        // Behind the updates that were made before it.
        let error = self.writer.submit(
            .fence { [shared, readers] in
                let kept = shared.devices.withLock { $0 }
                let taken = readers.submit { reader in
                    done(Result { try reader.get().status(request, kept: kept) }.mapError(Self.storeError))
                }
                if !taken { done(.failure(StoreError(.stopped))) }
            })
        if let error { done(.failure(error)) }
    }

    /// Writes what is kept in memory: positions, and the index of what is stored.
    package func settle(done: @escaping @Sendable (StoreError?) -> Void) {
        if let error = self.writer.submit(.settle(done)) { done(error) }
    }

    package func stop(done: @escaping @Sendable (StoreError?) -> Void) {
        let first = self.life.withLock { life -> Bool in
            guard !life.ended, life.onStop.isEmpty else { return false }
            life.onStop.append(done)
            return true
        }
        guard first else { return done(StoreError(.stopped)) }
        self.observeNothing()
        self.writer.queue.change { queue in
            queue.operations.append(.settle { [self] error in self.life.withLock { $0.settled = error } })
            queue.phase = .stopping
            return ((), true)
        }
    }

    /// Ends without writing anything more, as if the process had died; returns when all is closed. For tests.
    package func abandon() {
        self.observeNothing()
        self.writer.queue.change { queue in
            queue.phase = .abandoned
            return ((), true)
        }
        self.life.withLock { $0.worker }?.join()
    }

    /// A store that is closed before it was ever observed needs its thread all the same.
    private func observeNothing() {
        if self.life.withLock({ $0.worker == nil }) { self.observe { _ in } }
    }

    /// Closes everything, on the writer's thread.
    private func finish() {
        let abandoned = self.writer.queue.withLock { $0.phase == .abandoned }
        self.readers.stop()
        self.checkpointer.stop()
        var error = self.life.withLock { $0.settled }
        if !abandoned, error == nil {
            do {
                try self.writer.markClean()
            } catch let failure {
                error = StoreError(.unavailable, "\(failure)")
            }
        }
        self.writer.db.close()
        self.lock.release()
        let waiting = self.life.withLock { life in
            life.ended = true
            return life.onStop
        }
        for done in waiting { done(abandoned ? StoreError(.stopped) : error) }
    }

    private static func storeError(_ error: any Error) -> StoreError {
        error as? StoreError ?? StoreError(.unavailable, "\(error)")
    }
}
