#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a load message carries, anywhere in it: `~mb:TIME:NUMBER:STREAM;`, without a character that JSON would escape.
struct Stamp: Equatable {
    /// When it was published, in nanoseconds of this machine's monotonic clock.
    var time: UInt64
    /// Its number in its stream, from 1 on; 0 is a warm-up message.
    var number: Int
    /// 0 for a topic, 1 for an inbox.
    var stream: Int

    /// Longest text of one.
    static let maxLength = 64

    /// Writes a payload of `length` bytes, or a little more if it would not hold the stamp: a JSON string.
    func append(to output: inout [UInt8], length: Int) {
        let start = output.count
        output.append(UInt8(ascii: "\""))
        output += "~mb:\(self.time):\(self.number):\(self.stream);".utf8
        let missing = length - (output.count - start) - 1
        if missing > 0 { output += repeatElement(UInt8(ascii: "x"), count: missing) }
        output.append(UInt8(ascii: "\""))
    }

    /// Calls `each` for every stamp in a text.
    @inline(__always) static func find(in text: UnsafeRawBufferPointer, _ each: (Stamp) -> Void) {
        guard var at = text.baseAddress else { return }
        let end = at + text.count
        while let found = memchr(at, Int32(UInt8(ascii: "~")), end - at) {
            at = UnsafeRawPointer(found) + 1
            guard end - at > 3, at.load(as: UInt8.self) == UInt8(ascii: "m"), at.load(fromByteOffset: 1, as: UInt8.self) == UInt8(ascii: "b"),
                at.load(fromByteOffset: 2, as: UInt8.self) == UInt8(ascii: ":")
            else { continue }
            at += 3
            guard let time = Self.number(&at, end), let number = Self.number(&at, end), let stream = Self.number(&at, end) else { continue }
            each(Stamp(time: time, number: Int(truncatingIfNeeded: number), stream: Int(truncatingIfNeeded: stream)))
        }
    }

    /// Digits, and the one character after them.
    @inline(__always) private static func number(_ at: inout UnsafeRawPointer, _ end: UnsafeRawPointer) -> UInt64? {
        var value: UInt64 = 0
        while at < end {
            let byte = at.load(as: UInt8.self)
            at += 1
            guard byte >= 0x30, byte <= 0x39 else { return value }
            value = value &* 10 &+ UInt64(byte &- 0x30)
        }
        return nil
    }
}
