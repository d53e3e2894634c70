/// The lines of an NDJSON batch, as ranges of bytes: ended by LF or CRLF, the last one also by the end. Lines of
/// nothing but white space are left out.
package struct NDJSONLines: Sequence, IteratorProtocol {
    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    /// - Parameter bytes: must stay valid while the lines are walked.
    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    package mutating func next() -> Range<Int>? {
        while self.index < self.bytes.count {
            let start = self.index
            var isBlank = true
            while self.index < self.bytes.count, self.bytes[self.index] != 0x0a {
                let byte = self.bytes[self.index]
                if byte != 0x20, byte != 0x0d, byte != 0x09 { isBlank = false }
                self.index += 1
            }
            var end = self.index
            self.index += 1
            if end > start, self.bytes[end - 1] == 0x0d { end -= 1 }
            if !isBlank { return start..<end }
        }
        return nil
    }
}
