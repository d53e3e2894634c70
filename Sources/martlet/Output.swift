#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Standard output and standard error, one line at a time: whoever reads them sees each line as it comes.
enum Output {
    /// Nobody reads standard output any more.
    struct Closed: Error {}

    /// Writes a line to standard output.
    ///
    /// - Throws: ``Closed``.
    static func line(_ bytes: some Sequence<UInt8>) throws(Closed) {
        var line = Array(bytes)
        line.append(0x0a)
        guard self.write(line, to: 1) else { throw Closed() }
    }

    /// Writes a sentence about what is going on to standard error.
    static func status(_ text: String) {
        _ = self.write(Array("martlet: \(text)\n".utf8), to: 2)
    }

    /// Writes over the line that a terminal shows on standard error.
    static func inPlace(_ text: String) { _ = self.write(Array("\r\(text)\u{1B}[K".utf8), to: 2) }

    /// Whether nobody reads standard output any more; known without writing only for pipes and sockets.
    static var isClosed: Bool {
        var state = pollfd(fd: 1, events: 0, revents: 0)
        return poll(&state, 1, 0) > 0 && state.revents & Int16(POLLERR) != 0
    }

    /// A write to a closed pipe then fails instead of ending the program.
    static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let part = UnsafeRawBufferPointer(rebasing: buffer[done...])
                #if canImport(Darwin)
                let written = Darwin.write(descriptor, part.baseAddress, part.count)
                #elseif canImport(Glibc)
                let written = Glibc.write(descriptor, part.baseAddress, part.count)
                #else
                let written = Musl.write(descriptor, part.baseAddress, part.count)
                #endif
                if written > 0 {
                    done += written
                } else if errno == EAGAIN {
                    // Somebody made the terminal or pipe non-blocking: wait until it takes more.
                    var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&ready, 1, -1)
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }
}

/// Standard input, in whole lines.
struct Input {
    /// Longest line, in bytes; far above what a server takes.
    static let maxLine = 8_388_608

    /// A line is longer than ``maxLine``.
    struct TooLong: Error {}

    private var rest: [UInt8] = []
    private var atEnd = false

    /// Waits for input, and returns the lines that are there: at least one, without their ends; nil after the last.
    mutating func lines() throws(TooLong) -> [[UInt8]]? {
        while !self.atEnd {
            let scanned = self.rest.count
            let count = self.readMore()
            if count <= 0 { self.atEnd = true }
            guard let last = self.rest[scanned...].lastIndex(of: 0x0a) else {
                guard self.rest.count <= Self.maxLine else { throw TooLong() }
                continue
            }
            let whole = self.rest[..<last]
            self.rest = Array(self.rest[(last + 1)...])
            return whole.split(separator: 0x0a, omittingEmptySubsequences: false).map { Array($0) }
        }
        defer { self.rest = [] }
        return self.rest.isEmpty ? nil : [self.rest]
    }

    private mutating func readMore() -> Int {
        let size = 262_144
        return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { memory in
            var count = read(0, memory.baseAddress, size)
            while count < 0, errno == EINTR { count = read(0, memory.baseAddress, size) }
            if count > 0 { self.rest.append(contentsOf: memory[..<count]) }
            return count
        }
    }
}
