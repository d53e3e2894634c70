#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Files and folders, by the system's calls.
enum Files {
    /// What is at a path; nil if nothing is, or it cannot be seen.
    static func info(_ path: String) -> stat? {
        var info = stat()
        return lstat(path, &info) == 0 ? info : nil
    }

    /// 0 if there is nothing.
    static func bytes(_ path: String) -> Int { Int(self.info(path)?.st_size ?? 0) }

    static func exists(_ path: String) -> Bool { self.info(path) != nil }

    static func isFolder(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    /// The names in a folder, sorted; nil if it cannot be read.
    static func names(in folder: String) -> [String]? {
        guard let handle = opendir(folder) else { return nil }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The part of a path before its last name; `.` if there is none.
    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The same folder, whatever it is called; nil if there is none.
    static func identity(_ path: String) -> [UInt64]? {
        var info = stat()
        return stat(path, &info) == 0 ? [UInt64(info.st_dev), UInt64(info.st_ino)] : nil
    }

    /// Bytes that can be written to the file system of a path, and its size; nil if the system does not say.
    static func space(at path: String) -> (free: Int, total: Int)? {
        var info = statvfs()
        guard statvfs(path, &info) == 0 else { return nil }
        let block = Int(info.f_frsize)
        return (Int(info.f_bavail) * block, Int(info.f_blocks) * block)
    }

    /// Flushes a file or folder to disk.
    static func flush(_ path: String) throws(CareError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CareError("\(path) cannot be flushed to disk: \(lastError()).") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw CareError("\(path) cannot be flushed to disk: \(lastError()).") }
    }

    static func move(_ path: String, to target: String) throws(CareError) {
        guard rename(path, target) == 0 else {
            throw CareError("\(path) cannot be moved to \(target): \(lastError()).")
        }
    }

    /// Gives a path the owner of another, if this process may.
    static func giveOwner(of model: String, to path: String) {
        var info = stat()
        guard geteuid() == 0, stat(model, &info) == 0 else { return }
        _ = chown(path, info.st_uid, info.st_gid)
    }

    /// Deletes a database file and what SQLite keeps beside it.
    static func deleteDatabase(_ path: String) {
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(path + suffix) }
    }

    /// Bytes as people say them: `12.3 MB`.
    static func size(_ bytes: Int) -> String {
        if bytes < 10_000 { return "\(bytes) bytes" }
        if bytes < 1_000_000 { return "\(bytes / 1_000) KB" }
        let unit = bytes < 1_000_000_000 ? (100_000, "MB") : (100_000_000, "GB")
        return "\(bytes / unit.0 / 10).\(bytes / unit.0 % 10) \(unit.1)"
    }

    /// A moment for a file's name, UTC: `20261121-055732`.
    static func stamp(_ wallMs: Int64) -> String {
        let parts = Self.utc(wallMs)
        let digits = { (value: Int32, width: Int) in
            String(repeating: "0", count: max(0, width - String(value).count)) + String(value)
        }
        return digits(parts.tm_year + 1_900, 4) + digits(parts.tm_mon + 1, 2) + digits(parts.tm_mday, 2) + "-"
            + digits(parts.tm_hour, 2) + digits(parts.tm_min, 2) + digits(parts.tm_sec, 2)
    }

    /// A moment for people, UTC: `2026-11-21 05:57:32 UTC`.
    static func time(_ wallMs: Int64) -> String {
        let stamp = Array(Self.stamp(wallMs))
        let part = { (range: Range<Int>) in String(stamp[range]) }
        return "\(part(0..<4))-\(part(4..<6))-\(part(6..<8)) \(part(9..<11)):\(part(11..<13)):\(part(13..<15)) UTC"
    }

    private static func utc(_ wallMs: Int64) -> tm {
        var seconds = time_t(wallMs / 1_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return parts
    }
}

/// Small helps for those who write about a store.
package enum StoreCare {
    /// A moment for people: `2026-11-21 05:57:32 UTC`.
    package static func time(_ wallMs: Int64) -> String { Files.time(wallMs) }
    /// Bytes as people say them: `12.3 MB`.
    package static func size(_ bytes: Int) -> String { Files.size(bytes) }
}
