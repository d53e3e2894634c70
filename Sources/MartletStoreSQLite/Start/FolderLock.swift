#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Keeps other processes out of a store's folder. The system lifts it when the process ends, however it ends.
/// The file then holds the process id, for people and for `martlet doctor`.
final class FolderLock: Sendable {
    static let fileName = "martlet.lock"

    private let descriptor: Int32

    /// - Throws: ``StoreStartError`` if another process holds it, or the file cannot be made.
    init(folder: String) throws(StoreStartError) {
        let descriptor = open(folder + "/" + Self.fileName, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StoreStartError("The store cannot write to its folder \(folder): \(lastError()).")
        }
        // Whoever only asks who holds it (the doctor) has it for a moment.
        var attempts = 0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            attempts += 1
            guard attempts < 10 else {
                let holder = Self.processID(in: descriptor).map { " (process \($0))" } ?? ""
                close(descriptor)
                throw StoreStartError(
                    "Another martlet\(holder) is using the folder \(folder): stop it, or choose another folder.")
            }
            poll(nil, 0, 20)
        }
        let id = Array("\(getpid())\n".utf8)
        // On a full disk the id is missing; the lock holds all the same.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, id, id.count, 0) }
        self.descriptor = descriptor
    }

    func release() {
        ftruncate(self.descriptor, 0)
        close(self.descriptor)
    }

    /// Who uses a folder.
    enum Holder: Equatable {
        case nobody
        /// The id is nil if the lock's file does not say.
        case process(Int32?)
        /// The file cannot be read: the system's words.
        case unknown(String)
    }

    /// Asks without taking the lock for longer than a moment.
    static func holder(of folder: String) -> Holder {
        let descriptor = open(folder + "/" + Self.fileName, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return errno == ENOENT ? .nobody : .unknown(lastError()) }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return .nobody }
        return .process(Self.processID(in: descriptor))
    }

    private static func processID(in descriptor: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return Int32(String(decoding: bytes.prefix(max(0, count)).prefix { $0 > 0x20 }, as: UTF8.self))
    }

    /// Makes a folder and those above it.
    static func makeFolder(_ path: String) throws(StoreStartError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/" + part
            if mkdir(made, 0o700) != 0, errno != EEXIST {
                throw StoreStartError("The store's folder \(path) cannot be made: \(lastError()).")
            }
        }
        var info = stat()
        guard stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
            throw StoreStartError("The store's folder \(path) is not a folder.")
        }
    }
}

/// The system's words for the last error.
func lastError() -> String { String(cString: strerror(errno)) }
