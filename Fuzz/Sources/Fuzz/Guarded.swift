import Glibc

/// Memory whose end is the end of a page, with one after it that cannot be read: whoever reads beyond the input dies.
enum Guarded {
    private static let room = 1 << 20
    private nonisolated(unsafe) static let end: UnsafeMutableRawPointer = {
        let page = Int(getpagesize())
        let memory = mmap(nil, Self.room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED, mprotect(memory + Self.room, page, PROT_NONE) == 0 else { abort() }
        return memory + Self.room
    }()

    /// Lends a copy of the input that ends at the guard.
    static func lend(_ data: UnsafePointer<UInt8>?, _ count: Int, _ body: (UnsafeRawBufferPointer) -> Void) -> CInt {
        guard count <= Self.room else { return -1 }
        let start = Self.end - count
        if let data { start.copyMemory(from: data, byteCount: count) }
        body(UnsafeRawBufferPointer(start: start, count: count))
        return 0
    }
}

/// Takes an input apart: the first bytes decide, the rest is the text.
struct Choices {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.rest = bytes }

    mutating func byte() -> UInt8 {
        guard let first = self.rest.first else { return 0 }
        self.rest = UnsafeRawBufferPointer(rebasing: self.rest.dropFirst())
        return first
    }

    mutating func word() -> UInt64 { (0..<8).reduce(0) { value, _ in value << 8 | UInt64(self.byte()) } }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in self.byte() } }
}

/// A stream in pieces of these lengths, as far as it goes, and what is left as the last.
func pieces(of stream: [UInt8], _ lengths: [UInt8]) -> [[UInt8]] {
    var rest = stream[...]
    var pieces: [[UInt8]] = []
    for length in lengths {
        pieces.append(Array(rest.prefix(Int(length))))
        rest = rest.dropFirst(Int(length))
    }
    return pieces + [Array(rest)]
}
