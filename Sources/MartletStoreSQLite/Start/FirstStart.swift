#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Tells a store that is being made for the first time from one that was emptied: SQLite takes a file of 0 bytes for a new database.
///
/// A mark stands in the folder from before the file is made until the schema is in it. So a file of 0 bytes beside the mark is what a
/// crash in the first moment left; without the mark, somebody or something emptied it.
struct FirstStart {
    static let markName = "martlet.new"

    private let mark: String
    private let isMarked: Bool

    /// - Throws: ``StoreStartError`` if the file, or all but its log, is gone.
    init(_ folder: String) throws(StoreStartError) {
        let path = folder + "/" + SQLiteStore.fileName
        self.mark = folder + "/" + Self.markName
        let isMarked = Files.exists(self.mark)
        let info = Files.info(path)
        let hasLog = Files.bytes(path + "-wal") > 0
        if let info, info.st_mode & S_IFMT == S_IFREG, info.st_size == 0, !isMarked || hasLog {
            throw Self.lost("The store's file \(path) is empty", folder)
        }
        if info == nil, hasLog { throw Self.lost("The store's file \(path) is gone, and its log is there", folder) }
        if info == nil, !isMarked { try Self.make(self.mark, folder) }
        self.isMarked = isMarked || info == nil
    }

    /// The store is made.
    func done() {
        if self.isMarked { unlink(self.mark) }
    }

    private static func lost(_ what: String, _ folder: String) -> StoreStartError {
        StoreStartError(
            "\(what): restore the newest backup (martlet restore FILE --data \(folder) --force), or move what is left away to start empty."
        )
    }

    private static func make(_ mark: String, _ folder: String) throws(StoreStartError) {
        let descriptor = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StoreStartError("The store cannot write to its folder \(folder): \(lastError()).")
        }
        close(descriptor)
        // Without it a power failure might keep the file and lose the mark; then the start is refused, no more.
        try? Files.flush(folder)
    }
}
