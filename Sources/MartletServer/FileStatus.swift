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

    /// The permission bits, in octal, if others than the owner may do anything with it; nil if not.
    static func openMode(_ path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & 0o077 != 0 else { return nil }
        return String(status.st_mode & 0o7777, radix: 8)
    }

    /// Why a store's folder cannot be used, or made, by this user; nil if it can. Changes nothing.
    static func fault(ofFolder path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            guard errno == ENOENT else { return "\(path): cannot be looked at: \(String(cString: strerror(errno)))." }
            // It would be made: in the nearest folder that there is.
            let parts = path.split(separator: "/")
            let root = path.hasPrefix("/") ? "/" : "."
            return parts.isEmpty || parts.count == 1 && root == "."
                ? self.fault(ofFolder: ".")
                : self.fault(
                    ofFolder: parts.count == 1 ? root : (root == "/" ? "/" : "") + parts.dropLast().joined(separator: "/"))
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return "\(path): is a file, and must be a folder." }
        return access(path, W_OK | X_OK) == 0 ? nil : "\(path): this user may not write there: run this as the server's user."
    }

    /// Whether every user of the machine may read it.
    static func isOpenToAll(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IROTH != 0
    }
}
