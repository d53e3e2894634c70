import GRDBSQLite
import MartletCore
import MartletWire
import Synchronization

/// Opens the database file and finds out how it was left.
struct Opening {
    var db: Connection
    var epoch: UInt32
    var shared: Shared
    var lastID: MessageID?
    /// The messages that the index on disk does not hold, oldest first.
    var unindexed: [Indexer.Item]
    var clock: ClockSample?
    /// Whether the last run did not end by ``SQLiteStore/stop(done:)``. A restored backup had none.
    var wasUnclean: Bool

    /// Files larger than this are not read through at a start, in bytes.
    private static let checkedBytes = 268_435_456

    init(_ configuration: SQLiteStoreConfiguration, random: () -> UInt64) throws(StoreStartError) {
        let path = configuration.folder + "/" + SQLiteStore.fileName
        guard Files.exists(path) || !Files.exists(configuration.folder + "/" + StoreRestore.stagingName) else {
            throw StoreStartError(
                "A restore into \(configuration.folder) did not get to its end: run martlet restore once more, with --force.")
        }
        let first = try FirstStart(configuration.folder)
        do {
            self = try Opening(path, configuration, random)
            first.done()
        } catch let error as StoreStartError {
            throw error
        } catch let error as SQLiteError {
            switch error.primaryCode {
            case SQLITE_NOTADB, SQLITE_CORRUPT:
                throw StoreStartError(
                    "The store's file \(path) is damaged (\(error)): restore a backup, or move it away to start empty.")
            default: throw StoreStartError("The store's file \(path) cannot be opened: \(error).")
            }
        } catch {
            throw StoreStartError("The store's file \(path) cannot be opened: \(error).")
        }
    }

    private init(_ path: String, _ configuration: SQLiteStoreConfiguration, _ random: () -> UInt64) throws {
        let db = try Connection(path: path, vfs: configuration.fileSystem)
        // What is written here must hold even if the configured durability is less.
        try db.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                + "PRAGMA temp_store = MEMORY;"
                + "PRAGMA cache_size = -16384; PRAGMA journal_size_limit = \(configuration.logBytes)")
        let version = try db.integer("PRAGMA user_version") ?? 0
        let pages = try db.integer("PRAGMA page_count") ?? 0
        if version > 0, pages * 4_096 <= Self.checkedBytes {
            let check = try db.prepare("PRAGMA quick_check(1)")
            if try check.step(), let answer = check.text(0), answer != "ok" {
                throw SQLiteError(code: SQLITE_CORRUPT, message: answer)
            }
            check.reset()
        }
        try Migrations.run(on: db)
        // Somebody put a backup here by hand: without a new epoch, positions of what came after it would lie.
        if try BackupFile.isBackup(db) { try NewHistory.begin(on: db, random: random) }
        try self.init(db, configuration, random)
    }

    private init(_ db: Connection, _ configuration: SQLiteStoreConfiguration, _ random: () -> UInt64) throws {
        let meta = try Self.meta(db)
        let last = try db.prepare("SELECT offset, high, low FROM message ORDER BY offset DESC LIMIT 1")
        let hasMessages = try last.step()
        let end = hasMessages ? last.unsigned(0) : 0
        self.lastID = hasMessages ? MessageID(high: last.unsigned(1), low: last.unsigned(2)) : nil
        last.reset()
        let run = Int64(meta["run"] ?? "") ?? 0
        let isFirst = run == 0
        let isUnclean = !isFirst && meta["clean"] != "1"
        self.wasUnclean = isUnclean && meta["clean"] != NewHistory.unclean
        var uncleanRun = Int64(meta["unclean_run"] ?? "") ?? 0
        var uncleanEnd = Int64(meta["unclean_end"] ?? "") ?? 0
        if isUnclean {
            uncleanRun = run
            uncleanEnd = max(uncleanEnd, Int64(bitPattern: end))
        }
        var epoch = UInt32(meta["epoch"] ?? "") ?? 0
        if isFirst || isUnclean && meta["durability"] != Durability.full.rawValue {
            let before = epoch
            repeat { epoch = UInt32(truncatingIfNeeded: random() >> 16) } while epoch == 0 || epoch == before
        }
        let set = try db.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?,?)")
        try db.execute("BEGIN IMMEDIATE")
        let values = [
            "run": String(run + 1), "clean": "0", "epoch": String(epoch),
            "durability": configuration.durability.rawValue,
            "unclean_run": String(uncleanRun), "unclean_end": String(uncleanEnd),
        ]
        for (key, value) in values {
            set.bind(1, key)
            set.bind(2, value)
            try set.run()
        }
        try db.execute("COMMIT")
        // From the log into the file: a lost log must not bring "clean" back.
        try db.emptyLog(isOptional: configuration.durability != .memory)
        try db.execute("PRAGMA synchronous = \(configuration.durability.pragma)")

        let indexed = UInt64(meta["indexed"] ?? "") ?? 0
        self.unindexed = try Self.unindexed(db, after: indexed)
        var memtable = Memtable(end: end, indexed: indexed)
        let recalled = try Self.recalled(db, after: indexed)
        for item in self.unindexed where !item.message.fragment.isEmpty || item.placing != nil { memtable.insert(item) }
        for (topic, state) in try Self.topicStates(db, memtable) { memtable.set(topic, state) }
        for item in self.unindexed {
            // What has been taken back has no body any more, nor what an index that was not finished has cleared.
            if let topic = item.placing?.topic, item.message.fragment.isEmpty { memtable.remove(topic, item.message.offset) }
        }
        for offset in recalled { memtable.recall(offset) }
        for (lane, upTo) in try Self.trims(db, after: indexed) { memtable.drop(lane, upTo: upTo) }
        self.db = db
        self.epoch = epoch
        self.shared = Shared(
            memtable: memtable, uncleanEnd: UInt64(bitPattern: uncleanEnd), uncleanRun: uncleanRun, run: run + 1,
            messages: try Self.messages(db, meta["messages"], wasUnclean: isUnclean))
        self.clock = meta["clock"].flatMap(ClockSample.init(text:))
    }

    /// How many messages have not expired. What was kept at the last stop, or in the second before an unclean one; then it
    /// is counted, unless that would take long.
    private static func messages(_ db: Connection, _ kept: String?, wasUnclean: Bool) throws -> Int {
        let pages = try db.integer("PRAGMA page_count") ?? 0
        if let kept, let count = Int(kept), !wasUnclean || pages * 4_096 > Self.checkedBytes { return count }
        return Int(try db.integer("SELECT count(*) FROM body") ?? 0)
    }

    private static func meta(_ db: Connection) throws -> [String: String] {
        var meta: [String: String] = [:]
        let select = try db.prepare("SELECT key, CAST(value AS TEXT) FROM meta")
        while try select.step() { meta[select.text(0) ?? ""] = select.text(1) ?? "" }
        return meta
    }

    private static func unindexed(_ db: Connection, after offset: UInt64) throws -> [Indexer.Item] {
        let select = try db.prepare(
            """
            SELECT m.offset, m.high, m.low, m.flags, m.at, m.expires, m.collapse, b.fragment, m.priority, m.targets,
                m.topic, m.born, m.state, m.app, m.marks
            FROM message m LEFT JOIN body b ON b.offset = m.offset WHERE m.offset > ? ORDER BY m.offset
            """)
        select.bind(1, offset)
        var items: [Indexer.Item] = []
        while try select.step() {
            let message = StoredMessage(
                id: MessageID(high: select.unsigned(1), low: select.unsigned(2)), offset: select.unsigned(0),
                priority: Priority(rawValue: UInt8(truncatingIfNeeded: select.integer(8))) ?? .low,
                at: select.integer(4),
                expiresAt: select.integer(5), collapseKey: select.text(6),
                liveOnly: select.integer(3) & MessageFlag.liveOnly != 0, marks: MessageMarks(rawValue: select.unsigned(14)), fragment: select.bytes(7)
            )
            var item = Indexer.Item(message: message, inboxes: Codec.inboxes(select.bytes(9)))
            if !select.isNull(10), let state = Codec.topicState(select.bytes(12), asOf: message.offset) {
                item.placing = TopicPlacing(
                    app: AppID(UInt32(truncatingIfNeeded: select.integer(13))), topic: select.integer(10), born: select.integer(11), state: state)
            }
            items.append(item)
        }
        return items
    }

    /// The rows of the topics that have unindexed messages.
    private static func topicStates(_ db: Connection, _ memtable: borrowing Memtable) throws -> [(Int64, TopicState)] {
        let select = try db.prepare("SELECT \(TopicRow.columns) FROM topic WHERE id = ?")
        defer { select.reset() }
        var states: [(Int64, TopicState)] = []
        for topic in memtable.topics.keys {
            select.reset()
            select.bind(1, topic)
            if try select.step() { states.append((topic, TopicRow.state(select))) }
        }
        return states
    }

    private static func recalled(_ db: Connection, after offset: UInt64) throws -> [UInt64] {
        let select = try db.prepare("SELECT offset FROM message WHERE offset > ? AND flags & 1")
        select.bind(1, offset)
        var offsets: [UInt64] = []
        while try select.step() { offsets.append(select.unsigned(0)) }
        return offsets
    }

    private static func trims(_ db: Connection, after offset: UInt64) throws -> [(LaneKey, UInt64)] {
        let select = try db.prepare("SELECT inbox, priority, upto FROM trim WHERE upto > ?")
        select.bind(1, offset)
        var trims: [(LaneKey, UInt64)] = []
        while try select.step() {
            let priority = Priority(rawValue: UInt8(truncatingIfNeeded: select.integer(1))) ?? .low
            trims.append((LaneKey(select.integer(0), priority), select.unsigned(2)))
        }
        return trims
    }
}
