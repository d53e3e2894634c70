package import MartletCore
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The clock that decides on expiry.
///
/// It counts with the machine's monotonic clock, so a step of the wall clock changes nothing. Across a restart on the same
/// boot it goes on from the sample that was stored; after a reboot it is the wall clock, but never before the sample.
/// So it never runs backwards, and nothing expires early because somebody set the date.
package final class ServerClock: Sendable {
    /// What is added to the time since boot.
    private let offset: Int64
    private let bootID: String

    /// - Parameter sample: the newest one that was stored; nil on the first start.
    package init(resuming sample: ClockSample?) {
        self.bootID = Self.systemBootID()
        let boot = Self.sinceBootMs()
        let wall = Self.wallMs()
        let now =
            if let sample {
                sample.bootID == self.bootID && !self.bootID.isEmpty && sample.bootMs <= boot
                    ? sample.serverMs + (boot - sample.bootMs) : max(wall, sample.serverMs)
            } else {
                wall
            }
        self.offset = now - boot
    }

    /// The server's clock, in milliseconds.
    package func now() -> Int64 { self.offset + Self.sinceBootMs() }

    package func sample() -> ClockSample {
        let boot = Self.sinceBootMs()
        return ClockSample(serverMs: self.offset + boot, bootMs: boot, bootID: self.bootID)
    }

    /// Unix time in milliseconds by the wall clock.
    package static func wallMs() -> Int64 { self.read(CLOCK_REALTIME) }

    private static func sinceBootMs() -> Int64 {
        #if os(Linux)
        self.read(CLOCK_BOOTTIME)
        #else
        self.read(CLOCK_MONOTONIC)
        #endif
    }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }

    private static func systemBootID() -> String {
        guard let file = fopen("/proc/sys/kernel/random/boot_id", "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count).prefix { $0 > 0x20 }, as: UTF8.self)
    }
}
