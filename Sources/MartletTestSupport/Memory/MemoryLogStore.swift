package import MartletCore
package import MartletWire
import Synchronization

/// A ``LogStore`` in memory, for tests: deterministic, and able to crash.
///
/// Two ways to run it:
/// - **at once** (`steps: false`): every call completes before it returns, on the caller's thread.
/// - **in steps** (`steps: true`): nothing happens until the owner says so. ``commit(_:)`` takes the waiting changes as
///   one group, ``takeSnapshot(_:)`` runs a waiting read, ``deliver()`` and ``deliverRead(_:)`` call back.
///
/// What a crash keeps is in the ``MemoryDisk``: drop the store, or call ``crash(committing:)``, and open another on it.
package final class MemoryLogStore: LogStore, @unchecked Sendable {
    let disk: MemoryDisk
    let limits: Limits
    let now: @Sendable () -> Int64
    let wall: @Sendable () -> Int64
    private let steps: Bool
    // Guards everything below and the disk.
    private let lock = Mutex(())
    private var queue: [Change] = []
    /// Each takes what it asks for from the tables, or fails, and returns what is to be called then.
    private var waitingReads: [(Result<MemoryTables, StoreError>) -> @Sendable () -> Void] = []
    private var readyReads: [@Sendable () -> Void] = []
    private var outbox: [@Sendable () -> Void] = []
    private var observer: (@Sendable ([Commit]) -> Void)?
    private var isDraining = false
    private var isStopped = false
    private var announcedEnd: UInt64
    /// Devices as calls see them; the disk's follow at the next sync.
    var devices: [DeviceKey: DeviceRow]

    private enum Change {
        case append([AppendRequest], @Sendable ([AppendOutcome]) -> Void)
        case recall(MessageID, AppID, @Sendable (Result<RecallOutcome?, StoreError>) -> Void)
        case open(DeviceOpening, @Sendable (Result<DeviceRecord, StoreError>) -> Void)
        case record([DeviceUpdate])
        case reserve(UInt64, DeviceKey, @Sendable (Result<UInt64, StoreError>) -> Void)
        case trim(TopicKey, UInt64)
        case save([SessionSave], @Sendable (StoreError?) -> Void)
        case loadSessions(@Sendable (Result<[SessionRow], StoreError>) -> Void)
        case topics(String, @Sendable (Result<(topics: [TopicKey], newest: UInt64), StoreError>) -> Void)
        case status(StatusRequest, @Sendable (Result<MessageStatus?, StoreError>) -> Void)
        case stop(@Sendable (StoreError?) -> Void)
    }

    /// Fails what has to write, as a full disk does.
    package var cannotWrite: Bool {
        get { self.lock.withLock { _ in self.writesFail } }
        set { self.lock.withLock { _ in self.writesFail = newValue } }
    }
    private(set) var writesFail = false

    /// Fails reads too, as a broken disk does.
    package var cannotRead: Bool {
        get { self.lock.withLock { _ in self.readsFail } }
        set { self.lock.withLock { _ in self.readsFail = newValue } }
    }
    private var readsFail = false

    /// Starts a run on a disk; what was not stopped cleanly before makes its end suspect.
    ///
    /// - Parameters:
    ///   - now: the server's clock, in milliseconds.
    ///   - wall: Unix time in milliseconds.
    ///   - steps: whether the owner steps it.
    package init(
        disk: MemoryDisk, limits: Limits = Limits(), now: @escaping @Sendable () -> Int64,
        wall: @escaping @Sendable () -> Int64, steps: Bool = false
    ) {
        self.disk = disk
        self.limits = limits
        self.now = now
        self.wall = wall
        self.steps = steps
        if !disk.tables.isClean {
            disk.tables.uncleanRun = disk.tables.run
            disk.tables.uncleanEnd = disk.tables.end
        }
        disk.tables.run += 1
        disk.tables.isClean = false
        self.devices = disk.tables.devices
        self.announcedEnd = disk.tables.end
        self.epoch = disk.tables.epoch
    }

    package convenience init(disk: MemoryDisk, limits: Limits = Limits(), clock: ManualClock, steps: Bool = false) {
        self.init(disk: disk, limits: limits, now: { clock.now }, wall: { clock.wall }, steps: steps)
    }

    /// Another run on the same disk, after this one was stopped or has crashed.
    package func reopened(
        limits: Limits, now: @escaping @Sendable () -> Int64, wall: @escaping @Sendable () -> Int64
    ) -> MemoryLogStore {
        MemoryLogStore(disk: self.disk, limits: limits, now: now, wall: wall, steps: self.steps)
    }

    // MARK: LogStore

    package let epoch: UInt32

    package var end: UInt64 { self.lock.withLock { _ in self.announcedEnd } }

    package func observe(_ observer: @escaping @Sendable ([Commit]) -> Void) {
        self.lock.withLock { _ in self.observer = observer }
    }

    package func append(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        self.submit(.append(requests, done))
    }

    package func recall(
        _ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void
    ) {
        self.submit(.recall(id, app, done))
    }

    package func openDevice(
        _ request: DeviceOpening, done: @escaping @Sendable (Result<DeviceRecord, StoreError>) -> Void
    ) {
        self.submit(.open(request, done))
    }

    package func record(_ updates: [DeviceUpdate]) { self.submit(.record(updates)) }

    package func reserve(
        _ count: UInt64, for device: DeviceKey, done: @escaping @Sendable (Result<UInt64, StoreError>) -> Void
    ) {
        self.submit(.reserve(count, device, done))
    }

    package func read(_ request: ReadRequest, done: @escaping @Sendable (Result<ReadResult, StoreError>) -> Void) {
        self.read({ $0.read(request) }, done)
    }

    package func readTopic(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void) {
        self.read({ $0.readTopic(request) }, done)
    }

    package func retained(_ request: RetainedRequest, done: @escaping @Sendable (Result<RetainedSlice, StoreError>) -> Void) {
        self.read({ $0.retained(request) }, done)
    }

    package func topicInfo(_ topic: TopicKey, now: Int64, done: @escaping @Sendable (Result<TopicLogInfo, StoreError>) -> Void) {
        self.read({ $0.topicInfo(topic, now: now) }, done)
    }

    private func read<Value: Sendable>(
        _ body: @escaping @Sendable (MemoryTables) -> Value, _ done: @escaping @Sendable (Result<Value, StoreError>) -> Void
    ) {
        self.lock.withLock { _ in
            self.waitingReads.append { tables in
                let result = tables.map(body)
                return { done(result) }
            }
        }
        guard !self.steps else { return }
        self.takeSnapshot(0)
        self.deliverRead(0)
    }

    package func status(
        _ request: StatusRequest, done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void
    ) {
        self.submit(.status(request, done))
    }

    package func trim(_ topic: TopicKey, upTo offset: UInt64) { self.submit(.trim(topic, offset)) }

    package func save(_ sessions: [SessionSave], done: @escaping @Sendable (StoreError?) -> Void) { self.submit(.save(sessions, done)) }

    package func loadSessions(done: @escaping @Sendable (Result<[SessionRow], StoreError>) -> Void) { self.submit(.loadSessions(done)) }

    package var isWritable: Bool { !self.cannotWrite }

    package func topics(
        beginningWith prefix: String, done: @escaping @Sendable (Result<(topics: [TopicKey], newest: UInt64), StoreError>) -> Void
    ) { self.submit(.topics(prefix, done)) }

    package func stop(done: @escaping @Sendable (StoreError?) -> Void) { self.submit(.stop(done)) }

    private func submit(_ change: Change) {
        self.lock.withLock { _ in self.queue.append(change) }
        guard !self.steps else { return }
        // One caller drains at a time, so that callbacks keep the order of the calls.
        let drains = self.lock.withLock { _ in
            defer { self.isDraining = true }
            return !self.isDraining
        }
        guard drains else { return }
        while true {
            self.commit(.max)
            while self.deliver() {}
            let isIdle = self.lock.withLock { _ in
                if self.queue.isEmpty, self.outbox.isEmpty { self.isDraining = false }
                return !self.isDraining
            }
            if isIdle { return }
        }
    }

    // MARK: Steps

    /// Changes that wait for ``commit(_:)``.
    package var waitingChanges: Int { self.lock.withLock { _ in self.queue.count } }
    /// Reads that wait for ``takeSnapshot(_:)``.
    package var waitingSnapshots: Int { self.lock.withLock { _ in self.waitingReads.count } }
    /// Read results that wait for ``deliverRead(_:)``.
    package var waitingResults: Int { self.lock.withLock { _ in self.readyReads.count } }
    /// Announcements and completions that wait for ``deliver()``.
    package var waitingCallbacks: Int { self.lock.withLock { _ in self.outbox.count } }

    /// Takes at most `count` waiting changes as one group. Positions alone are not synced until ``sync()``, or until
    /// something else is.
    package func commit(_ count: Int) {
        self.lock.withLock { _ in
            let group = Array(self.queue.prefix(count))
            self.queue.removeFirst(group.count)
            self.outbox += self.apply(group)
        }
    }

    /// Writes positions, as happens at least once a second.
    package func sync() { self.lock.withLock { _ in self.syncDevices() } }

    /// Calls the next announcement or completion.
    ///
    /// - Returns: false if there is none.
    @discardableResult
    package func deliver() -> Bool {
        let next = self.lock.withLock { _ in self.outbox.isEmpty ? nil : self.outbox.removeFirst() }
        next?()
        return next != nil
    }

    /// Runs a waiting read against what is committed now.
    package func takeSnapshot(_ index: Int) {
        self.lock.withLock { _ in
            guard self.waitingReads.indices.contains(index) else { return }
            let read = self.waitingReads.remove(at: index)
            self.readyReads.append(read(self.isStopped || self.readsFail ? .failure(StoreError(.unavailable)) : .success(self.disk.tables)))
        }
    }

    /// Hands over the result of a read.
    package func deliverRead(_ index: Int) {
        let next = self.lock.withLock { _ in
            self.readyReads.indices.contains(index) ? self.readyReads.remove(at: index) : nil
        }
        next?()
    }

    /// The process dies.
    ///
    /// - Parameter count: how many of the waiting changes reach the disk although nobody hears of it.
    package func crash(committing count: Int = 0) {
        self.lock.withLock { _ in
            let group = Array(self.queue.prefix(count))
            _ = self.apply(group)
            self.queue = []
            self.waitingReads = []
            self.readyReads = []
            self.outbox = []
            self.isStopped = true
        }
    }

    private func syncDevices() {
        guard !self.writesFail, !self.isStopped else { return }
        self.disk.tables.devices = self.devices
        for (device, row) in self.devices {
            let key = InboxKey.device(device.name, in: device.app)
            guard self.disk.tables.inboxes[key] != nil else { continue }
            for priority in Priority.allCases {
                let index = self.disk.tables.inboxes[key]?.firstIndex(
                    after: row.acked[Lane(.device, priority)], priority: Int(priority.rawValue))
                guard let index, index > 0 else { continue }
                self.disk.tables.inboxes[key]?.lanes[Int(priority.rawValue)].removeFirst(index)
            }
        }
    }

    /// Applies a group and syncs it.
    ///
    /// - Returns: what is to be called, in order.
    private func apply(_ group: [Change]) -> [@Sendable () -> Void] {
        var commits: [Commit] = []
        var calls: [@Sendable () -> Void] = []
        var needsSync = false
        for change in group {
            switch change {
            case .append(let requests, let done):
                let outcomes = requests.map { self.appendOne($0, commits: &commits) }
                calls.append { done(outcomes) }
                needsSync = true
            case .recall(let id, let app, let done):
                let result = self.recallOne(id, app: app, commits: &commits)
                calls.append { done(result) }
                needsSync = true
            case .open(let request, let done):
                let result = self.canWork.flatMap { self.open(request, needsSync: &needsSync) }
                calls.append { done(result) }
            case .record(let updates):
                guard !self.isStopped else { continue }
                for update in updates { self.devices[update.device]?.take(update, self.disk.tables) }
            case .reserve(let count, let device, let done):
                let result = self.reserveOne(count, device: device)
                needsSync = true
                calls.append { done(result) }
            case .trim(let topic, let offset):
                if case .success = self.canStore { self.disk.tables.trim(topic, upTo: offset, now: self.now()) }
            case .save(let sessions, let done):
                let error = self.save(sessions)
                calls.append { done(error) }
            case .loadSessions(let done):
                let result = self.readsFail ? .failure(StoreError(.unavailable)) : self.canWork.map { self.disk.tables.sessionRows }
                calls.append { done(result) }
            case .topics(let prefix, let done):
                let result = self.canWork.map {
                    (topics: self.disk.tables.topics.keys.filter { $0.name.utf8.starts(with: prefix.utf8) }, newest: self.disk.tables.end)
                }
                calls.append { done(result) }
            case .status(let request, let done):
                let result = self.canWork.map { self.disk.tables.status(request, devices: self.devices) }
                calls.append { done(result) }
            case .stop(let done):
                self.syncDevices()
                self.disk.tables.isClean = !self.writesFail
                let error = self.writesFail ? StoreError(.unavailable) : nil
                self.isStopped = true
                calls.append { done(error) }
            }
        }
        if needsSync { self.syncDevices() }
        if !commits.isEmpty, let observer = self.observer {
            let announced = commits
            calls.insert({ observer(announced) }, at: 0)
        }
        self.announcedEnd = self.disk.tables.end
        return calls
    }

    var canWork: Result<Void, StoreError> { self.isStopped ? .failure(StoreError(.stopped)) : .success(()) }

    var canStore: Result<Void, StoreError> {
        self.writesFail ? .failure(StoreError(.unavailable, "told to fail")) : self.canWork
    }
}
