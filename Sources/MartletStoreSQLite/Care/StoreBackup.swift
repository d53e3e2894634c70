import GRDBSQLite
import MartletCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Copies a store into one file, also while a server is using it.
package struct StoreBackup: Sendable {
    /// The store's folder.
    package var folder: String
    /// The file to make, or a folder to make it in.
    package var target: String
    /// Bytes a second at most; 0 is any number.
    package var bytesPerSecond = 0

    /// What was made.
    package struct Summary: Sendable {
        package var file: String
        package var bytes: Int
        /// Messages in it, those included whose record only is kept.
        package var messages: Int
        /// Whether keys and apps are in it.
        package var hasDirectory: Bool
    }

    package init(folder: String, target: String, bytesPerSecond: Int = 0) {
        self.folder = folder
        self.target = target
        self.bytesPerSecond = bytesPerSecond
    }

    /// Makes the backup. Everything that was acknowledged before the call is in it. If it fails, no file is left.
    ///
    /// - Parameters:
    ///   - wallMs: Unix time now.
    ///   - observer: told often; ends the work by returning false.
    package func run(wallMs: Int64, observer: @escaping CareObserver) throws(CareError) -> Summary {
        let file = try self.file(wallMs)
        let path = self.folder + "/" + SQLiteStore.fileName
        guard Files.exists(path) else {
            throw CareError("There is no store in \(self.folder): name the server's data folder with --data.")
        }
        let source = try care(path) { () throws(SQLiteError) in try Connection(path: path, readOnly: true) }
        defer { source.close() }
        let (messages, bytes) = try self.begin(source, path)
        if let space = Files.space(at: Files.parent(of: file)), space.free < bytes + bytes / 20 {
            throw CareError(
                "The backup needs \(Files.size(bytes)), and \(Files.parent(of: file)) has \(Files.size(space.free)) free: make space there, or name another folder with --to."
            )
        }
        let part = try PartFile(for: file)
        do {
            var notes = BackupFile.Notes(madeAtMs: wallMs, messages: messages)
            let target = try care(part.path) { () throws(SQLiteError) in
                let target = try Connection(path: part.path)
                // One flush at the end: until then the file counts for nothing.
                try target.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -1024")
                return target
            }
            defer { target.close() }
            try PageCopy(bytesPerSecond: self.bytesPerSecond).run(
                from: source, to: target, at: part.path, observer: observer)
            try? source.execute("ROLLBACK")
            let directory = self.folder + "/" + BackupFile.directoryName
            if Files.exists(directory) {
                notes.directory = try care(directory) { () throws(SQLiteError) in try BackupFile.image(of: directory) }
            }
            try self.finish(target, notes, part.path, observer)
            target.close()
            try Files.flush(part.path)
            try part.publish(as: file)
            return Summary(
                file: file, bytes: Files.bytes(file), messages: messages,
                hasDirectory: notes.directory != nil)
        } catch {
            part.discard()
            throw error
        }
    }

    /// The file that will be made.
    private func file(_ wallMs: Int64) throws(CareError) -> String {
        let file =
            Files.isFolder(self.target) ? self.target + "/martlet-\(Files.stamp(wallMs)).backup" : self.target
        guard !Files.exists(file) else {
            throw CareError("\(file) exists already and is not overwritten: name another file with --to.")
        }
        let parent = Files.parent(of: file)
        guard Files.isFolder(parent) else { throw CareError("The folder \(parent) does not exist: make it first.") }
        guard Files.identity(parent) != Files.identity(self.folder) else {
            throw CareError(
                "\(parent) is the data folder itself: name another folder with --to, better on another disk.")
        }
        return file
    }

    /// Fixes the moment that the copy is of.
    private func begin(_ source: Connection, _ path: String) throws(CareError) -> (messages: Int, bytes: Int) {
        let schema = try care(path) { () throws(SQLiteError) -> Int in
            try source.execute("BEGIN")
            return Int(try source.integer("PRAGMA user_version") ?? 0)
        }
        guard schema > 0 else { throw CareError("\(path) holds no store yet: start the server on the folder once.") }
        guard schema <= Migrations.steps.count else {
            throw CareError(
                "The store was written by a newer Martlet (schema \(schema), this one knows \(Migrations.steps.count)): use that version."
            )
        }
        return try care(path) { () throws(SQLiteError) in
            let messages = Int(try source.integer("SELECT count(*) FROM message") ?? 0)
            let pages = Int(try source.integer("PRAGMA page_count") ?? 0)
            return (messages, pages * Int(try source.integer("PRAGMA page_size") ?? 4_096))
        }
    }

    /// Makes the copy one plain file, and reads it through.
    private func finish(
        _ target: Connection, _ notes: BackupFile.Notes, _ path: String, _ observer: @escaping CareObserver
    ) throws(CareError) {
        try care(path) { () throws(SQLiteError) in
            try target.execute("PRAGMA journal_mode = DELETE")
            try BackupFile.write(notes, into: target)
        }
        let problems: [String]
        do {
            problems = try PageCopy.check(target, observer: observer)
        } catch  where error.primaryCode == SQLITE_INTERRUPT {
            throw CareError("Stopped. Nothing was left behind.")
        } catch {
            problems = [error.description]
        }
        guard problems.isEmpty else {
            throw CareError(
                "The copy is damaged, and so, it seems, is the store (\(problems[0])). Run martlet doctor on \(self.folder); keep the backups that you have."
            )
        }
        let copied = try care(path) { () throws(SQLiteError) in try target.integer("SELECT count(*) FROM message") ?? 0 }
        guard Int(copied) == notes.messages else {
            throw CareError(
                "The copy has \(copied) messages where the store had \(notes.messages): try again, and run martlet doctor on \(self.folder)."
            )
        }
    }
}

/// The file under construction, beside where it will be: whoever sees the final name sees it whole.
struct PartFile {
    let path: String
    private let descriptor: Int32

    init(for file: String) throws(CareError) {
        self.path = file + ".part"
        self.descriptor = open(self.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.descriptor >= 0 else {
            throw CareError("\(self.path) cannot be made: \(lastError()). Name another place with --to.")
        }
        // One that was killed leaves its file, and this takes it over; one that still runs holds the lock.
        guard flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(self.descriptor)
            throw CareError("Another backup is writing \(self.path): wait until it has ended.")
        }
        ftruncate(self.descriptor, 0)
        for suffix in ["-wal", "-shm", "-journal"] { unlink(self.path + suffix) }
    }

    /// Gives it its final name, unless there is something of that name by now.
    func publish(as file: String) throws(CareError) {
        defer { close(self.descriptor) }
        if link(self.path, file) == 0 {
            unlink(self.path)
        } else if errno == EEXIST || Files.exists(file) {
            throw CareError("\(file) exists by now and is not overwritten: name another file with --to.")
        } else {
            // A file system without links.
            try Files.move(self.path, to: file)
        }
        try Files.flush(Files.parent(of: file))
    }

    func discard() {
        Files.deleteDatabase(self.path)
        close(self.descriptor)
    }
}
