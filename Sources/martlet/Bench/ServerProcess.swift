import Foundation
import NIOCore

/// What the processes of a server have used, from /proc.
struct ServerUse: Sendable {
    /// CPU seconds, without and within the kernel.
    var userSeconds = 0.0
    var systemSeconds = 0.0
    /// Resident memory in KB: as each process sees it, and with shared pages split among them.
    var rssKB = 0
    var pssKB = 0

    var cpuSeconds: Double { self.userSeconds + self.systemSeconds }
}

/// The processes of the server under load.
struct ServerProcess: Sendable {
    let pids: [Int]

    /// - Parameters:
    ///   - pids: as the user says; empty to look for those that listen on the port, if they are on this machine.
    ///   - address: where the server is.
    init(pids: [Int], address: SocketAddress) {
        self.pids = pids.isEmpty && address.isLoopback ? Self.listening(on: address.port ?? 0) : pids
    }

    /// What they have used until now; nil if no process is known, or one is gone.
    func use() -> ServerUse? {
        guard !self.pids.isEmpty else { return nil }
        var sum = ServerUse()
        for pid in self.pids {
            guard let stat = Self.read("/proc/\(pid)/stat"), let name = stat.lastIndex(of: ")") else { return nil }
            // From the third on: the name before may hold anything.
            let fields = stat[stat.index(after: name)...].split(separator: " ")
            guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
            sum.userSeconds += user / Self.ticks
            sum.systemSeconds += system / Self.ticks
            sum.rssKB += Self.kilobytes("VmRSS:", in: "/proc/\(pid)/status") ?? 0
            sum.pssKB += Self.kilobytes("Pss:", in: "/proc/\(pid)/smaps_rollup") ?? 0
        }
        return sum
    }

    private static let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))

    /// Files of /proc have no size, which Foundation's readers want to know.
    private static func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 8) { memory in
            while case let count = fread(memory.baseAddress, 1, memory.count, file), count > 0 { bytes.append(contentsOf: memory[..<count]) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func kilobytes(_ name: String, in path: String) -> Int? {
        self.read(path)?.split(separator: "\n").first { $0.hasPrefix(name) }?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst()
            .first.flatMap { Int($0) }
    }

    /// The processes that hold a socket which listens on a port: with several workers, all of them.
    private static func listening(on port: Int) -> [Int] {
        var sockets: Set<String> = []
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in (self.read(table) ?? "").split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ")
                // State 0A is LISTEN.
                guard fields.count > 9, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":"),
                    Int(fields[1][fields[1].index(after: colon)...], radix: 16) == port
                else { continue }
                sockets.insert("socket:[\(fields[9])]")
            }
        }
        guard !sockets.isEmpty, let names = try? FileManager.default.contentsOfDirectory(atPath: "/proc") else { return [] }
        return names.compactMap { Int($0) }.filter { pid in
            let folder = "/proc/\(pid)/fd"
            guard let files = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return false }
            return files.contains { file in
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(file)")).map { sockets.contains($0) } ?? false
            }
        }.sorted()
    }
}
