package import MartletCore
package import MartletWire
import Synchronization

extension LogStore {
    package func append(_ requests: [AppendRequest]) async -> [AppendOutcome] {
        await withCheckedContinuation { waiting in self.append(requests) { waiting.resume(returning: $0) } }
    }

    package func recall(_ id: MessageID, app: AppID) async throws -> RecallOutcome? {
        try await withCheckedContinuation { waiting in self.recall(id, app: app) { waiting.resume(returning: $0) } }
            .get()
    }

    package func openDevice(_ request: DeviceOpening) async throws -> DeviceRecord {
        try await withCheckedContinuation { waiting in self.openDevice(request) { waiting.resume(returning: $0) } }
            .get()
    }

    package func reserve(_ count: UInt64, for device: DeviceKey) async throws -> UInt64 {
        try await withCheckedContinuation { waiting in
            self.reserve(count, for: device) { waiting.resume(returning: $0) }
        }.get()
    }

    package func read(_ request: ReadRequest) async throws -> ReadResult {
        try await withCheckedContinuation { waiting in self.read(request) { waiting.resume(returning: $0) } }.get()
    }

    package func status(_ request: StatusRequest) async throws -> MessageStatus? {
        try await withCheckedContinuation { waiting in self.status(request) { waiting.resume(returning: $0) } }.get()
    }

    package func readTopic(_ request: TopicReadRequest) async throws -> TopicSlice {
        try await withCheckedContinuation { waiting in self.readTopic(request) { waiting.resume(returning: $0) } }.get()
    }

    package func retained(_ request: RetainedRequest) async throws -> RetainedSlice {
        try await withCheckedContinuation { waiting in self.retained(request) { waiting.resume(returning: $0) } }.get()
    }

    package func retained(_ filter: TopicFilter, app: AppID, limit: Int, now: Int64) async throws -> [TopicSlice.Entry] {
        var request = RetainedRequest(app: app, filter: filter, values: limit, now: now)
        var entries: [TopicSlice.Entry] = []
        while request.values > 0 {
            let slice = try await self.retained(request)
            entries += slice.entries
            request.values -= slice.entries.count
            request.after = slice.reached
            guard slice.reached != nil else { break }
        }
        return entries
    }

    package func topicInfo(_ topic: TopicKey, now: Int64) async throws -> TopicLogInfo {
        try await withCheckedContinuation { waiting in self.topicInfo(topic, now: now) { waiting.resume(returning: $0) } }.get()
    }

    package func save(_ sessions: [SessionSave]) async -> StoreError? {
        await withCheckedContinuation { waiting in self.save(sessions) { waiting.resume(returning: $0) } }
    }

    package func loadSessions() async throws -> [SessionRow] {
        try await withCheckedContinuation { waiting in self.loadSessions { waiting.resume(returning: $0) } }.get()
    }

    package func stop() async -> StoreError? {
        await withCheckedContinuation { waiting in self.stop { waiting.resume(returning: $0) } }
    }
}

extension LogStoreContract {
    /// A store under test, its clocks, and what its observer was told.
    final class Fixture: Sendable {
        let clock = ContractClock()
        let maker: Maker
        let limits: Limits
        private let state: Mutex<any LogStore>
        private let seen = Mutex<[Commit]>([])

        init(maker: Maker, limits: Limits) throws {
            self.maker = maker
            self.limits = limits
            self.state = Mutex(try maker.open(limits, self.clock))
            self.listen()
        }

        var store: any LogStore { self.state.withLock { $0 } }
        var commits: [Commit] { self.seen.withLock { $0 } }

        private func listen() {
            self.store.observe { [weak self] commits in self?.seen.withLock { $0 += commits } }
        }

        /// Stops the store and opens it again.
        func reopen() async throws {
            if let error = await self.store.stop() { throw Violation("stop failed: \(error)") }
            guard let reopen = self.maker.reopen else { return }
            let again = try reopen(self.store, self.limits, self.clock)
            self.state.withLock { $0 = again }
            self.listen()
        }

        /// Stores one message for each text and returns their ids.
        @discardableResult
        func publish(
            _ texts: String..., to targets: [InboxKey] = [.user("alice", in: .dev)], priority: Priority = .medium,
            ttl: Int = 1_800, key: String? = nil
        ) async throws -> [MessageID] {
            let requests = texts.map {
                AppendRequest(
                    app: .dev, targets: targets, priority: priority, ttl: ttl, collapseKey: key,
                    members: Self.members($0))
            }
            return try await self.store.append(requests).map { outcome in
                guard case .stored(let id, repeated: false) = outcome else { throw Violation("append said \(outcome)") }
                return id
            }
        }

        static func members(_ text: String) -> [UInt8] { Array("\"data\":\"\(text)\"".utf8) }

        /// A reading by Alice's phone, with room for everything unless limited.
        func request(
            after: Positions = Positions(), user: String? = "alice", device: String? = "phone", app: AppID = .dev,
            messages: Int = 1_000, mediumAndLow: Int? = nil, low: Int? = nil, bytes: Int = 1 << 30,
            mediumAndLowBytes: Int? = nil, lowBytes: Int? = nil, oversizeFirst: Bool = false
        ) -> ReadRequest {
            ReadRequest(
                app: app, user: user, device: device, after: after, messages: messages,
                mediumAndLow: mediumAndLow ?? messages, low: low ?? mediumAndLow ?? messages, bytes: bytes,
                mediumAndLowBytes: mediumAndLowBytes ?? bytes, lowBytes: lowBytes ?? mediumAndLowBytes ?? bytes,
                oversizeFirst: oversizeFirst, now: self.clock.now)
        }

        func read(
            after: Positions = Positions(), user: String? = "alice", device: String? = "phone"
        ) async throws -> ReadResult {
            try await self.store.read(self.request(after: after, user: user, device: device))
        }

        /// The texts that a reading returns, in its order; "-" for what is skipped.
        func texts(
            after: Positions = Positions(), user: String? = "alice", device: String? = "phone"
        ) async throws -> [String] {
            Self.texts(try await self.read(after: after, user: user, device: device))
        }

        static func texts(_ result: ReadResult) -> [String] {
            result.entries.map { entry in
                if case .message(let message) = entry.content { Self.text(message) } else { "-" }
            }
        }

        static func text(_ message: StoredMessage) -> String {
            let text = String(decoding: message.fragment, as: UTF8.self)
            let parts = text.split(separator: "\"data\":\"", maxSplits: 1)
            return parts.count == 2 ? String(parts[1].prefix { $0 != "\"" }) : text
        }

        @discardableResult
        func open(
            _ name: String = "phone", user: String? = "alice", fromNow: Bool = false, reserve: UInt64 = 0
        ) async throws -> DeviceRecord {
            try await self.store.openDevice(
                DeviceOpening(
                    device: DeviceKey(app: .dev, name: name), user: user, fromNow: fromNow, reserve: reserve,
                    at: self.clock.wall))
        }

        func record(
            _ name: String = "phone", user: String? = "alice", acked: Positions = Positions(),
            sent: Positions = Positions(),
            journal: [JournalRange] = [], nextSeq: UInt64 = 0, marks: [SeqMark]? = nil
        ) {
            self.store.record([
                DeviceUpdate(
                    device: DeviceKey(app: .dev, name: name), user: user, acked: acked, sent: sent, journal: journal,
                    nextSeq: nextSeq, marks: marks, at: self.clock.wall)
            ])
        }

        func status(_ id: MessageID, limit: Int = 100, after: String? = nil) async throws -> MessageStatus {
            let request = StatusRequest(app: .dev, id: id, now: self.clock.now, limit: limit, after: after)
            guard let status = try await self.store.status(request) else { throw Violation("no status for \(id)") }
            return status
        }

        /// The state of a message on one device; nil if it does not address it.
        func state(_ id: MessageID, on device: String = "phone") async throws -> DeliveryState? {
            try await self.status(id).devices.first { $0.device == device }?.state
        }
    }
}

extension Positions {
    /// These offsets, and 0 elsewhere.
    init(_ offsets: [Lane: UInt64]) {
        self.init()
        for (lane, offset) in offsets { self[lane] = offset }
    }
}
