#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What can be seen of a data folder from outside: files, owners, space, and who uses it.
package struct FolderInspection: Sendable {
    package enum Holder: Equatable, Sendable {
        case nobody
        case process(Int32?)
        case unknown(String)
    }

    /// A file of the store.
    package struct File: Sendable {
        package var name: String
        package var bytes: Int
        package var owner: UInt32
        /// The permission bits.
        package var mode: UInt32
        package var isReadable: Bool
        package var isWritable: Bool
    }

    /// Whether there is such a folder.
    package var exists: Bool
    /// Whether its names can be read.
    package var isReadable: Bool
    package var owner: UInt32 = 0
    package var mode: UInt32 = 0
    package var holder = Holder.nobody
    package var files: [File] = []
    /// Names that backups and restores left.
    package var leftovers: [String] = []
    /// Bytes that can be written, and the size of the file system.
    package var space: (free: Int, total: Int)?
    /// What the first page of the database says against its being one, or whole; nil if nothing.
    package var headProblem: String?

    package init(_ folder: String) {
        self.exists = Files.isFolder(folder)
        let names = Files.names(in: folder)
        self.isReadable = names != nil
        guard self.exists else { return }
        var info = stat()
        if stat(folder, &info) == 0 {
            self.owner = info.st_uid
            self.mode = UInt32(info.st_mode) & 0o7777
        }
        self.space = Files.space(at: folder)
        self.holder =
            switch FolderLock.holder(of: folder) {
            case .nobody: .nobody
            case .process(let id): .process(id)
            case .unknown(let words): .unknown(words)
            }
        let stores = [SQLiteStore.fileName, BackupFile.directoryName]
        for name in names ?? [] {
            let path = folder + "/" + name
            if name.hasPrefix(StoreRestore.asidePrefix) || name == StoreRestore.stagingName || name.hasSuffix(".part") {
                self.leftovers.append(name)
            } else if stores.contains(where: { name.hasPrefix($0) }) || name == FolderLock.fileName,
                let info = Files.info(path)
            {
                self.files.append(
                    File(
                        name: name, bytes: Int(info.st_size), owner: info.st_uid, mode: UInt32(info.st_mode) & 0o7777,
                        isReadable: access(path, R_OK) == 0, isWritable: access(path, W_OK) == 0))
            }
        }
        // While a log is moved into the file, the file may be shorter than its head says.
        self.headProblem = Self.headProblem(
            folder + "/" + SQLiteStore.fileName, isWhole: self.holder == .nobody && self.logBytes == 0)
    }

    package subscript(_ name: String) -> File? { self.files.first { $0.name == name } }

    /// Bytes of SQLite's log.
    package var logBytes: Int { self[SQLiteStore.fileName + "-wal"]?.bytes ?? 0 }

    /// Read without SQLite, and before it opens the file: closing a descriptor lifts the locks of the process on it.
    private static func headProblem(_ path: String, isWhole: Bool) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var head = [UInt8](repeating: 0, count: 100)
        let count = read(descriptor, &head, head.count)
        var info = stat()
        guard fstat(descriptor, &info) == 0 else { return nil }
        if info.st_size == 0 { return "it is empty" }
        guard count == head.count, head.starts(with: Array("SQLite format 3\u{0}".utf8)) else {
            return "it does not begin as a database does"
        }
        let pageSize = { $0 == 1 ? 65_536 : $0 }(Int(head[16]) << 8 | Int(head[17]))
        let pages = head[28..<32].reduce(0) { $0 << 8 | Int($1) }
        if isWhole, Int(info.st_size) < pages * pageSize {
            return "it has \(Files.size(Int(info.st_size))) where its head says \(Files.size(pages * pageSize)): it was cut off"
        }
        return nil
    }
}
