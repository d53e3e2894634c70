import Glibc
import Synchronization

/// The system's random numbers, fetched many at a time: an id for each message would be a system call for each.
final class RandomPool: Sendable {
    private struct Words {
        /// Used from the end.
        var left: [UInt64] = []
    }

    /// Words fetched at a time: the 256 bytes that `getentropy` gives at most.
    private static let count = 32

    private let words = Mutex(Words())

    /// 64 random bits, given out once. From any thread.
    func next() -> UInt64 {
        self.words.withLock { words in
            if words.left.isEmpty { words.left = Self.fetch() }
            return words.left.popLast() ?? UInt64.random(in: .min ... .max)
        }
    }

    private static func fetch() -> [UInt64] {
        Array(unsafeUninitializedCapacity: self.count) { memory, count in
            let bytes = UnsafeMutableRawBufferPointer(memory)
            guard let start = bytes.baseAddress else { return }
            count = getentropy(start, bytes.count) == 0 ? self.count : 0
        }
    }
}
