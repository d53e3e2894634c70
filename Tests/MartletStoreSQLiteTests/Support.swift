import Foundation
import GRDBSQLite
import Logging
import MartletCore
import MartletStoreSQLite
import MartletTestSupport
import MartletWire

/// A folder that is deleted with its last reference.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        self.path =
            FileManager.default.temporaryDirectory.resolvingSymlinksInPath().path + "/martlet-store-"
            + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    var database: String { self.path + "/" + SQLiteStore.fileName }

    /// Copies the files as they are now, as a process that died at once would leave them.
    func copy() throws -> TemporaryFolder {
        let copy = TemporaryFolder()
        for suffix in ["", "-wal"] where FileManager.default.fileExists(atPath: self.database + suffix) {
            try FileManager.default.copyItem(atPath: self.database + suffix, toPath: copy.database + suffix)
        }
        return copy
    }
}

func openStore(
    _ folder: TemporaryFolder, clock: ContractClock, durability: Durability = .full, limits: Limits = Limits(),
    change: (inout SQLiteStoreConfiguration) -> Void = { _ in }
) throws -> SQLiteStore {
    var configuration = SQLiteStoreConfiguration(folder: folder.path, durability: durability, limits: limits)
    change(&configuration)
    let environment = SQLiteStoreEnvironment(now: { clock.now }, wall: { clock.wall })
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return try SQLiteStore(configuration, environment: environment, logger: logger)
}

func request(_ text: String, to name: String = "alice", priority: Priority = .medium, ttl: Int = 1_800) -> AppendRequest {
    AppendRequest(
        app: .dev, targets: [.user(name, in: .dev)], priority: priority, ttl: ttl,
        members: Array("\"data\":\"\(text)\"".utf8))
}

/// Everything that one user may read, in order.
func everything(_ store: SQLiteStore, of name: String = "alice", now: Int64) async throws -> [StoredMessage] {
    var after = Positions()
    var messages: [StoredMessage] = []
    while true {
        let result = try await store.read(
            ReadRequest(
                app: .dev, user: name, device: nil, after: after, messages: 5_000, mediumAndLow: 5_000, low: 5_000,
                bytes: 1 << 30, mediumAndLowBytes: 1 << 30, lowBytes: 1 << 30, oversizeFirst: true, now: now))
        for entry in result.entries {
            after.advance(entry.lane, to: entry.offset)
            if case .message(let message) = entry.content { messages.append(message) }
        }
        if !result.more.contains(true) { return messages }
    }
}

func settle(_ store: SQLiteStore) async -> StoreError? {
    await withCheckedContinuation { waiting in store.settle { waiting.resume(returning: $0) } }
}

extension TemporaryFolder {
    /// Bytes of the database file, or of the one with this suffix.
    func size(of suffix: String) -> Int {
        let attributes = try? FileManager.default.attributesOfItem(atPath: self.database + suffix)
        return (attributes?[.size] as? NSNumber)?.intValue ?? 0
    }

    /// The first column of a query's first row, by a connection of the test's own.
    func integer(_ sql: String) -> Int64? {
        var db: OpaquePointer?
        guard sqlite3_open_v2(self.database, &db, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK else { return nil }
        defer { sqlite3_close(db) }
        sqlite3_busy_timeout(db, 1_000)
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(db, sql, -1, &statement, nil) == SQLITE_OK else { return nil }
        defer { sqlite3_finalize(statement) }
        return sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : nil
    }
}

func topicRequest(
    _ text: String, to topic: String, ttl: Int = 1_800, retain: TopicAppend.Retain = .leave,
    keep: TopicAppend.Keep = .init(messages: 1_000, seconds: 86_400, bytes: 1 << 30)
) -> AppendRequest {
    AppendRequest(
        app: .dev, targets: [], ttl: ttl, topic: TopicAppend(name: topic, retain: retain, keep: keep),
        members: Array("\"data\":\"\(text)\"".utf8))
}

func history(
    _ store: any LogStore, _ filter: String, _ start: TopicStart, messages: Int = 100_000, bytes: Int = 1 << 40, now: Int64
) async throws -> TopicSlice {
    try await store.readTopic(
        TopicReadRequest(
            app: .dev, filter: try TopicFilter(parsing: filter, limits: Limits()), start: start, messages: messages, bytes: bytes, now: now))
}
