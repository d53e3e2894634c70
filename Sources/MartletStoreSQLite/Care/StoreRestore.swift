import GRDBSQLite

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Makes a data folder of a backup. What it makes is a new history: see ``NewHistory``.
package struct StoreRestore: Sendable {
    /// The backup; the file of a stopped store does as well.
    package var file: String
    /// The data folder to make.
    package var folder: String
    /// Whether what is in the folder may be moved aside.
    package var isForced = false

    /// What was restored.
    package struct Summary: Sendable {
        package var messages: Int
        /// When the backup was made, Unix time in milliseconds; nil if the file does not say.
        package var madeAtMs: Int64?
        package var hasDirectory: Bool
        /// Where the store that was there is now.
        package var aside: String?
    }

    package init(file: String, folder: String, isForced: Bool = false) {
        self.file = file
        self.folder = folder
        self.isForced = isForced
    }

    /// New files are made in it; a server does not start on a folder that has it and no store.
    static let stagingName = "restore.part"
    /// Begins the names of the folders that hold what was there before.
    static let asidePrefix = "before-restore-"

    /// Restores. The folder changes only at the end, when all is copied and checked.
    package func run(wallMs: Int64, observer: @escaping CareObserver) throws(CareError) -> Summary {
        let (notes, messages, bytes) = try self.check(observer)
        let isNew = !Files.exists(self.folder)
        let lock: FolderLock
        do {
            try FolderLock.makeFolder(self.folder)
            lock = try FolderLock(folder: self.folder)
        } catch {
            throw CareError(error.description)
        }
        defer { lock.release() }
        if !isNew { Files.giveOwner(of: self.folder, to: self.folder + "/" + FolderLock.fileName) }
        let present = try self.present()
        if let space = Files.space(at: self.folder), space.free < bytes + bytes / 20 {
            throw CareError(
                "The store needs \(Files.size(bytes)), and \(self.folder) has \(Files.size(space.free)) free: make space there first."
            )
        }
        let staging = self.folder + "/" + Self.stagingName
        Self.deleteStaging(staging)
        guard mkdir(staging, 0o700) == 0 else { throw CareError("\(staging) cannot be made: \(lastError()).") }
        do {
            try self.stage(in: staging, notes?.directory, observer)
        } catch {
            Self.deleteStaging(staging)
            throw error
        }
        let aside = try self.moveAside(present, wallMs)
        for name in [BackupFile.directoryName, SQLiteStore.fileName] where Files.exists(staging + "/" + name) {
            try Files.move(staging + "/" + name, to: self.folder + "/" + name)
        }
        Self.deleteStaging(staging)
        try Files.flush(self.folder)
        return Summary(
            messages: messages, madeAtMs: notes?.madeAtMs, hasDirectory: notes?.directory != nil, aside: aside)
    }

    /// Looks at the backup without changing it.
    private func check(
        _ observer: @escaping CareObserver
    ) throws(CareError) -> (notes: BackupFile.Notes?, messages: Int, bytes: Int) {
        guard let info = Files.info(self.file) else { throw CareError("There is no backup \(self.file).") }
        guard info.st_mode & S_IFMT != S_IFDIR else {
            throw CareError("\(self.file) is a folder: name the backup file in it.")
        }
        guard Files.bytes(self.file + "-wal") == 0 else {
            throw CareError(
                "\(self.file) is the file of a store that is in use or was not closed: make a backup of it with martlet backup."
            )
        }
        let db = try care(self.file) { () throws(SQLiteError) in
            try Connection(path: self.file, readOnly: true, isFrozen: true)
        }
        defer { db.close() }
        let (schema, tables) = try care(self.file) { () throws(SQLiteError) in
            (
                Int(try db.integer("PRAGMA user_version") ?? 0),
                try db.integer("SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'message', 'body', 'device')")
            )
        }
        guard schema > 0, tables == 4 else { throw CareError("\(self.file) is no backup of a Martlet store.") }
        guard schema <= Migrations.steps.count else {
            throw CareError(
                "The backup was written by a newer Martlet (schema \(schema), this one knows \(Migrations.steps.count)): restore it with that version."
            )
        }
        var problems: [String]
        do {
            problems = try PageCopy.check(db, observer: observer)
        } catch  where error.primaryCode == SQLITE_INTERRUPT {
            throw CareError("Stopped. Nothing was left behind.")
        } catch {
            problems = [error.description]
        }
        guard problems.isEmpty else {
            throw CareError("The backup \(self.file) is damaged (\(problems[0])): take another one. Nothing was changed.")
        }
        return try care(self.file) { () throws(SQLiteError) in
            let notes = try BackupFile.read(db)
            let messages = Int(try db.integer("SELECT count(*) FROM message") ?? 0)
            return (notes, messages, Int(info.st_size) + (notes?.directory?.count ?? 0))
        }
    }

    /// What is in the folder and is in the way.
    private func present() throws(CareError) -> [String] {
        guard let names = Files.names(in: self.folder) else {
            throw CareError("The folder \(self.folder) cannot be read: \(lastError()).")
        }
        let present = names.filter {
            ![FolderLock.fileName, "lost+found", Self.stagingName].contains($0) && !$0.hasPrefix(Self.asidePrefix)
        }
        guard present.isEmpty || self.isForced else {
            throw CareError(
                "The folder \(self.folder) is not empty (\(present[0])\(present.count > 1 ? " and \(present.count - 1) more" : "")). Name an empty one, or say --force: that moves the store that is there aside."
            )
        }
        return present
    }

    /// Makes the new files.
    private func stage(
        in staging: String, _ directory: [UInt8]?, _ observer: @escaping CareObserver
    ) throws(CareError) {
        let path = staging + "/" + SQLiteStore.fileName
        let source = try care(self.file) { () throws(SQLiteError) in
            let source = try Connection(path: self.file, readOnly: true, isFrozen: true)
            try source.execute("BEGIN")
            _ = try source.integer("SELECT count(*) FROM sqlite_schema")
            return source
        }
        defer { source.close() }
        umask(0o077)
        let target = try care(path) { () throws(SQLiteError) in
            let target = try Connection(path: path)
            try target.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -1024")
            return target
        }
        defer { target.close() }
        try PageCopy().run(from: source, to: target, at: path, observer: observer)
        try care(path) { () throws(SQLiteError) in
            try target.execute("PRAGMA journal_mode = DELETE")
            try NewHistory.begin(on: target) { UInt64.random(in: .min ... .max) }
        }
        target.close()
        try Files.flush(path)
        Files.giveOwner(of: self.folder, to: path)
        guard let directory else { return }
        let keys = staging + "/" + BackupFile.directoryName
        try Self.write(directory, to: keys)
        Files.giveOwner(of: self.folder, to: keys)
    }

    private static func write(_ bytes: [UInt8], to path: String) throws(CareError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CareError("\(path) cannot be made: \(lastError()).") }
        defer { close(descriptor) }
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Self.write(descriptor, $0) }
            guard count > 0 else { throw CareError("\(path) cannot be written: \(lastError()).") }
            done += count
        }
        guard fsync(descriptor) == 0 else { throw CareError("\(path) cannot be flushed to disk: \(lastError()).") }
    }

    private static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
        Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        #else
        Darwin.write(descriptor, bytes.baseAddress, bytes.count)
        #endif
    }

    /// Moves the files of the store that is there into a folder of their own; nil if there were none.
    private func moveAside(_ present: [String], _ wallMs: Int64) throws(CareError) -> String? {
        let suffixes = ["", "-wal", "-shm", "-journal"]
        // The database first: a folder without it is no store any more, so a log is never joined to another file.
        let own = [SQLiteStore.fileName, BackupFile.directoryName].flatMap { name in suffixes.map { name + $0 } }
        let moved = own.filter { present.contains($0) }
        guard !moved.isEmpty else { return nil }
        let aside = self.folder + "/" + Self.asidePrefix + Files.stamp(wallMs)
        guard mkdir(aside, 0o700) == 0 else { throw CareError("\(aside) cannot be made: \(lastError()).") }
        Files.giveOwner(of: self.folder, to: aside)
        for name in moved { try Files.move(self.folder + "/" + name, to: aside + "/" + name) }
        return aside
    }

    private static func deleteStaging(_ staging: String) {
        for name in Files.names(in: staging) ?? [] { unlink(staging + "/" + name) }
        rmdir(staging)
    }
}
