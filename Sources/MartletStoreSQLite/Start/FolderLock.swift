#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Keeps other processes out of a store's folder. The system lifts it when the process ends, however it ends.
final class FolderLock: Sendable {
    private let descriptor: Int32

    /// - Throws: ``StoreStartError`` if another process holds it, or the file cannot be made.
    init(folder: String) throws(StoreStartError) {
        let path = folder + "/martlet.lock"
        let descriptor = unsafe_open(path)
        guard descriptor >= 0 else {
            throw StoreStartError("The store cannot write to its folder \(folder): \(lastError()).")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw StoreStartError("Another martlet is using the folder \(folder): stop it, or choose another folder.")
        }
        self.descriptor = descriptor
    }

    func release() { close(self.descriptor) }

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

private func unsafe_open(_ path: String) -> Int32 { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }

private func lastError() -> String { String(cString: strerror(errno)) }
