package import MartletCore
package import NIOCore

/// Protobuf's wire format, written by hand where a message is written for each delivery
/// (https://protobuf.dev/programming-guides/encoding).
package enum ProtoWire {
    /// Bytes of a number as a varint.
    @inline(__always)
    package static func size(_ value: UInt64) -> Int { (70 - (value | 1).leadingZeroBitCount) / 7 }
}

extension ByteBuffer {
    package mutating func writeVarint(_ value: UInt64) {
        if value < 0x80 {
            self.writeInteger(UInt8(truncatingIfNeeded: value))
            return
        }
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: 10) { bytes in
            var value = value
            var index = 0
            while value >= 0x80 {
                bytes[index] = UInt8(truncatingIfNeeded: value) | 0x80
                value >>= 7
                index += 1
            }
            bytes[index] = UInt8(truncatingIfNeeded: value)
            return index + 1
        }
    }

    /// A field that is a number; left out if it is 0, its default.
    package mutating func writeField(_ number: UInt8, _ value: UInt64) {
        guard value != 0 else { return }
        self.writeInteger(number << 3)
        self.writeVarint(value)
    }

    /// A field of bytes or text; of fields up to 15.
    package mutating func writeField(_ number: UInt8, _ bytes: UnsafeRawBufferPointer) {
        self.writeInteger(number << 3 | 2)
        self.writeVarint(UInt64(bytes.count))
        self.writeBytes(bytes)
    }

    package mutating func writeField(_ number: UInt8, _ text: String) {
        guard !text.isEmpty else { return }
        self.writeInteger(number << 3 | 2)
        self.writeVarint(UInt64(text.utf8.count))
        self.writeString(text)
    }

    package mutating func writeField(_ number: UInt8, _ cursor: Cursor) {
        withUnsafeTemporaryAllocation(byteCount: cursor.textRoom, alignment: 8) { room in
            let count = cursor.write(to: room)
            self.writeField(number, UnsafeRawBufferPointer(rebasing: room[..<count]))
        }
    }
}
