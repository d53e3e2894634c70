import MartletPrometheus

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The process's own numbers, under the names that Prometheus' client libraries agreed on.
enum ProcessMetrics {
    static func add(to prometheus: Prometheus) {
        let start = Self.wall
        prometheus.ask("process_start_time_seconds", "When the server started, in Unix time.") { start }
        prometheus.ask("process_cpu_seconds_total", "Time on the processor, of user and system.", kind: .counter) { Self.cpu }
        prometheus.ask("process_resident_memory_bytes", "Memory that is held in RAM.") { Self.residentBytes }
        prometheus.ask("process_open_fds", "Open file descriptors.") { Self.openFiles }
        prometheus.ask("process_max_fds", "Most file descriptors that may be open.") { Self.maxFiles }
    }

    private static var wall: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static var cpu: Double? {
        var time = timespec()
        guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// The second number of `/proc/self/statm` (proc(5)), in pages.
    private static var residentBytes: Double? {
        guard let file = fopen("/proc/self/statm", "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = fread(&bytes, 1, bytes.count, file)
        let words = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: " ")
        guard words.count > 1, let pages = Int(words[1]) else { return nil }
        return Double(pages * sysconf(Int32(_SC_PAGESIZE)))
    }

    /// Entries of `/proc/self/fd`, less the one that reads them. Linux 6.2 says it as the folder's size.
    private static var openFiles: Double? {
        if let count = FileStatus.size("/proc/self/fd"), count > 0 { return Double(count) }
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = -1
        while let entry = readdir(folder) {
            // "." and ".." begin so, and no descriptor does.
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        return Double(count)
    }

    private static var maxFiles: Double? {
        var limit = rlimit()
        #if canImport(Glibc)
        let code = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #else
        let code = getrlimit(RLIMIT_NOFILE, &limit)
        #endif
        return code == 0 ? Double(limit.rlim_cur) : nil
    }
}
