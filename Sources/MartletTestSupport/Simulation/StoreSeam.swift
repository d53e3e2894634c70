import MartletCore
import MartletWire

/// Stands between the hub and its store, and breaks what the canary says.
final class StoreSeam: LogStore, @unchecked Sendable {
    private let store: MemoryLogStore
    private let canary: Canary?

    init(_ store: MemoryLogStore, canary: Canary?) {
        self.store = store
        self.canary = canary
    }

    var epoch: UInt32 { self.store.epoch }
    var end: UInt64 { self.store.end }
    func observe(_ observer: @escaping @Sendable ([Commit]) -> Void) { self.store.observe(observer) }

    func append(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) {
        var requests = requests
        for index in requests.indices {
            if self.canary == .ignoresCollapse { requests[index].collapseKey = nil }
            if self.canary == .stripsIdempotencyKeys { requests[index].idempotency = nil }
        }
        self.store.append(requests, done: done)
    }

    func recall(_ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void) {
        if self.canary == .ignoresRecall { return done(.success(.recalled)) }
        self.store.recall(id, app: app, done: done)
    }

    func openDevice(_ request: DeviceOpening, done: @escaping @Sendable (Result<DeviceRecord, StoreError>) -> Void) {
        self.store.openDevice(request, done: done)
    }

    func record(_ updates: [DeviceUpdate]) {
        var updates = updates
        if self.canary == .ignoresRecordedAcks {
            for index in updates.indices {
                updates[index].acked = Positions()
                updates[index].marks = nil
            }
        }
        self.store.record(updates)
    }

    func reserve(_ count: UInt64, for device: DeviceKey, done: @escaping @Sendable (Result<UInt64, StoreError>) -> Void) {
        self.store.reserve(count, for: device, done: done)
    }

    func read(_ request: ReadRequest, done: @escaping @Sendable (Result<ReadResult, StoreError>) -> Void) {
        var request = request
        if self.canary == .readsAnothersInbox, request.user == "alice" { request.user = "bob" }
        self.store.read(request, done: done)
    }

    func status(_ request: StatusRequest, done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void) {
        self.store.status(request, done: done)
    }

    func readTopic(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void) {
        self.store.readTopic(request, done: done)
    }

    func retained(_ request: RetainedRequest, done: @escaping @Sendable (Result<RetainedSlice, StoreError>) -> Void) {
        self.store.retained(request, done: done)
    }

    func topicInfo(_ topic: TopicKey, now: Int64, done: @escaping @Sendable (Result<TopicLogInfo, StoreError>) -> Void) {
        self.store.topicInfo(topic, now: now, done: done)
    }

    func trim(_ topic: TopicKey, upTo offset: UInt64) { self.store.trim(topic, upTo: offset) }

    func save(_ sessions: [SessionSave], done: @escaping @Sendable (StoreError?) -> Void) { self.store.save(sessions, done: done) }

    var isWritable: Bool { self.store.isWritable }

    func topics(
        beginningWith prefix: String, done: @escaping @Sendable (Result<(topics: [TopicKey], newest: UInt64), StoreError>) -> Void
    ) { self.store.topics(beginningWith: prefix, done: done) }

    func loadSessions(done: @escaping @Sendable (Result<[SessionRow], StoreError>) -> Void) { self.store.loadSessions(done: done) }

    func stop(done: @escaping @Sendable (StoreError?) -> Void) { self.store.stop(done: done) }
}
