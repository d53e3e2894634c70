import MartletCore

/// Bytes put together on the stack. What does not fit is left out; callers give room for the longest.
struct ByteScratch {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self.memory[..<self.count]) }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        guard self.memory.count - self.count >= length else { return }
        UnsafeMutableRawBufferPointer(rebasing: self.memory[self.count..<self.count + length])
            .copyMemory(from: UnsafeRawBufferPointer(start: text.utf8Start, count: length))
        self.count += length
    }

    /// Appends a number in decimal digits.
    mutating func append(_ number: UInt64) {
        guard self.memory.count - self.count >= 20 else { return }
        var rest = number
        var length = 1
        while rest >= 10 {
            rest /= 10
            length += 1
        }
        rest = number
        for place in stride(from: length - 1, through: 0, by: -1) {
            self.memory[self.count + place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        self.count += length
    }

    mutating func append(_ cursor: Cursor) {
        guard self.memory.count - self.count >= cursor.textRoom else { return }
        self.count += cursor.write(to: UnsafeMutableRawBufferPointer(rebasing: self.memory[self.count...]))
    }
}
