#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What stat(2) says of a path. In a file that imports nothing else: the compiler asks which module `stat` is of, and others
/// bring the system's headers too.
enum FileStatus {
    /// nil if it cannot be asked.
    static func size(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    /// Whether every user of the machine may read it.
    static func isOpenToAll(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IROTH != 0
    }
}
