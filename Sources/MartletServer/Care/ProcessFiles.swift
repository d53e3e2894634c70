#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How many files a process has open, and may have. Linux only; elsewhere there is none to be had.
struct ProcessFiles {
    var open: Int
    var limit: Int

    init?(_ id: Int32) {
        guard let folder = opendir("/proc/\(id)/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        guard let file = fopen("/proc/\(id)/limits", "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 8_192)
        let text = String(decoding: bytes.prefix(fread(&bytes, 1, bytes.count, file)), as: UTF8.self)
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Max open files") }),
            let soft = line.dropFirst("Max open files".count).split(separator: " ").first
        else { return nil }
        self.open = count
        self.limit = Int(soft) ?? .max
    }
}
