/// Looking at request targets byte by byte: they are ASCII, and comparing characters costs ten times as much.
extension Substring {
    /// Whether it begins with these bytes.
    @inline(__always)
    func begins(with prefix: String) -> Bool { self.utf8.starts(with: prefix.utf8) }

    /// What comes before the first of this byte, and what comes after it; nil where there is none.
    func cut(at byte: Unicode.Scalar) -> (head: Substring, tail: Substring?) {
        guard let index = self.utf8.firstIndex(of: UInt8(ascii: byte)) else { return (self, nil) }
        return (self[..<index], self[self.utf8.index(after: index)...])
    }
}
