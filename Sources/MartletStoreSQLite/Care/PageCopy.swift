import GRDBSQLite

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Copies a database page by page, as it is at one moment, while others write to it.
///
/// The source is read in one transaction, so commits go on and the copy does not see them. SQLite's log cannot start
/// again meanwhile: it grows by what is written until the copy is done.
struct PageCopy {
    /// Pages copied at a time.
    private static let slice: Int32 = 256
    /// Bytes after which the copy is flushed, so that no heap of unwritten pages makes other flushes wait.
    private static let flushBytes = 16_777_216

    /// Bytes a second at most; 0 is any number.
    var bytesPerSecond = 0

    /// Copies everything.
    ///
    /// - Parameters:
    ///   - source: in a transaction that has read something.
    ///   - path: the target's file.
    func run(
        from source: Connection, to target: Connection, at path: String, observer: @escaping CareObserver
    ) throws(CareError) {
        let pageSize = Int(try care(path) { () throws(SQLiteError) in try source.integer("PRAGMA page_size") ?? 4_096 })
        guard let backup = sqlite3_backup_init(target.handle, "main", source.handle, "main") else {
            throw CareError(target.error(sqlite3_errcode(target.handle)), about: path)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let started = monotonicMs()
        var flushed = 0
        var code: Int32 = SQLITE_OK
        var isCancelled = false
        repeat {
            code = sqlite3_backup_step(backup, Self.slice)
            if code == SQLITE_BUSY || code == SQLITE_LOCKED { poll(nil, 0, 20) }
            let total = Int(sqlite3_backup_pagecount(backup)) * pageSize
            let done = total - Int(sqlite3_backup_remaining(backup)) * pageSize
            isCancelled = !observer(CareProgress(phase: .copying, bytes: done, totalBytes: total))
            if done - flushed >= Self.flushBytes {
                flushed = done
                fdatasync(descriptor)
            }
            guard self.bytesPerSecond > 0, code == SQLITE_OK else { continue }
            let due = started + Int64(done) * 1_000 / Int64(self.bytesPerSecond)
            while !isCancelled, monotonicMs() < due {
                poll(nil, 0, Int32(clamping: min(50, due - monotonicMs())))
                isCancelled = !observer(CareProgress(phase: .copying, bytes: done, totalBytes: total))
            }
        } while !isCancelled && (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
        let final = sqlite3_backup_finish(backup)
        if isCancelled { throw CareError("Stopped. Nothing was left behind.") }
        guard code == SQLITE_DONE, final == SQLITE_OK else {
            throw CareError(target.error(code == SQLITE_DONE ? final : code), about: path)
        }
    }

    /// Reads a whole database through, with its indexes.
    ///
    /// - Returns: what is wrong; empty if nothing is.
    static func check(_ db: Connection, isFull: Bool = true, observer: @escaping CareObserver) throws(SQLiteError) -> [String] {
        // SQLite asks now and then whether to go on.
        let box = ObserverBox(observer)
        return try withExtendedLifetime(box) { () throws(SQLiteError) in
            sqlite3_progress_handler(
                db.handle, 1_000_000,
                { context in
                    guard let context else { return 0 }
                    let box = Unmanaged<ObserverBox>.fromOpaque(context).takeUnretainedValue()
                    return box.observer(CareProgress(phase: .checking, bytes: 0, totalBytes: 0)) ? 0 : 1
                }, Unmanaged.passUnretained(box).toOpaque())
            defer { sqlite3_progress_handler(db.handle, 0, nil, nil) }
            let check = try db.prepare(isFull ? "PRAGMA integrity_check(20)" : "PRAGMA quick_check(20)")
            defer { check.reset() }
            var problems: [String] = []
            while try check.step() { problems.append(check.text(0) ?? "") }
            return problems == ["ok"] ? [] : problems
        }
    }

    private final class ObserverBox {
        let observer: CareObserver
        init(_ observer: @escaping CareObserver) { self.observer = observer }
    }
}

/// Runs something of SQLite's and says in an operator's words what went wrong with a file.
func care<Result>(_ path: String, _ body: () throws(SQLiteError) -> Result) throws(CareError) -> Result {
    do {
        return try body()
    } catch {
        throw CareError(error, about: path)
    }
}
