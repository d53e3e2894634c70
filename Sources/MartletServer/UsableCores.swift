import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How many event loops to run.
enum UsableCores {
    /// The cores that this process may run on: what the machine or its control group allows, and no more than its affinity (`taskset`).
    static var count: Int { max(1, min(System.coreCount, Self.affinity ?? .max)) }

    /// The bits of `Cpus_allowed` (proc(5)): hex digits with commas between.
    private static var affinity: Int? {
        guard let file = fopen("/proc/self/status", "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 8_192)
        let count = fread(&bytes, 1, bytes.count, file)
        return self.allowed(in: String(decoding: bytes.prefix(count), as: UTF8.self))
    }

    static func allowed(in status: String) -> Int? {
        for line in status.split(separator: "\n") where line.hasPrefix("Cpus_allowed:") {
            let count = line.dropFirst(13).reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
            return count > 0 ? count : nil
        }
        return nil
    }
}
