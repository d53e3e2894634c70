#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Small files that an operator writes.
enum TextFile {
    /// Far above what any of them needs.
    private static let maxBytes = 1_048_576

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// - Throws: why it cannot be read, with what to do.
    static func read(_ path: String) throws(ConfigProblem) -> String {
        guard let file = fopen(path, "r") else { throw ConfigProblem(place: path, text: self.sentence(errno)) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= self.maxBytes {
            let count = fread(&part, 1, part.count, file)
            if count == 0 { break }
            bytes += part[..<count]
        }
        guard ferror(file) == 0 else { throw ConfigProblem(place: path, text: self.sentence(errno)) }
        guard bytes.count <= self.maxBytes else { throw ConfigProblem(place: path, text: "is larger than 1 MiB: is it the right file?") }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ConfigProblem(place: path, text: "is not UTF-8 text: is it the right file?")
        }
        return text
    }

    private static func sentence(_ number: Int32) -> String {
        switch number {
        case ENOENT: "there is no such file."
        case EACCES: "this user may not read it."
        case EISDIR: "is a folder, not a file."
        default: "cannot be read: \(String(cString: strerror(number)))."
        }
    }
}
