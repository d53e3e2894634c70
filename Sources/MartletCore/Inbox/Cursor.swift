package import MartletWire

/// A place in all the logs that one device reads, as a client hands it back when it reconnects.
///
/// **Shape.** base64url of: version (1 byte, 1), session tag, epoch, hash of the app, of the user, of the device
/// (4 bytes each, big-endian), the largest offset (varint), then for each of the nine lanes how far it is behind
/// the largest (varint). At most 120 bytes, so 160 characters; URL-safe. Opaque to clients.
///
/// **Rules** (docs/protocol.md, "Cursors"). A part counts only if its owner and epoch are the reader's; then reading
/// resumes at the larger of the recorded and the presented offset. An offset beyond the log's end is ignored.
package struct Cursor: Hashable, Sendable {
    /// The session that gave it out; 0 if none did.
    package var tag: UInt32
    /// The history it belongs to.
    package var epoch: UInt32
    package var appHash: UInt32
    /// 0 when the session had no user.
    package var userHash: UInt32
    /// 0 when the device was ephemeral.
    package var deviceHash: UInt32
    package var positions: Positions
    /// nil for a session without topics.
    package var topics: TopicPlace?

    /// Longest text that is looked at, in bytes.
    package static let maxLength = 512
    private static let version: UInt8 = 1

    package init(tag: UInt32, epoch: UInt32, appHash: UInt32, userHash: UInt32, deviceHash: UInt32, positions: Positions, topics: TopicPlace? = nil) {
        self.tag = tag
        self.epoch = epoch
        self.appHash = appHash
        self.userHash = userHash
        self.deviceHash = deviceHash
        self.positions = positions
        self.topics = topics
    }

    /// The hash of an owner's name as it stands in a cursor; never 0 for a name.
    package static func hash(_ name: String?) -> UInt32 {
        guard let name else { return 0 }
        return max(1, shortHash(name))
    }

    /// Parses the text form. Untrusted: any text, any length.
    ///
    /// - Throws: ``WireError`` with `invalid_cursor`; never taken for "start from the beginning".
    package init(parsing text: some StringProtocol) throws(WireError) {
        let malformed = WireError(.invalidCursor, "This is not a cursor that Martlet gave out. Leave it out to resume at the recorded position.")
        let utf8 = text.utf8
        guard utf8.count <= Self.maxLength, let bytes = Base64URL.decode(utf8) else { throw malformed }
        var rest = bytes[...]
        guard rest.popFirst() == Self.version, let tag = rest.popWord(), let epoch = rest.popWord(),
            let app = rest.popWord(), let user = rest.popWord(), let device = rest.popWord(),
            let largest = Varint.read(&rest)
        else { throw malformed }
        var positions = Positions()
        for lane in Lane.all {
            guard let behind = Varint.read(&rest), behind <= largest else { throw malformed }
            positions[lane] = largest - behind
        }
        guard rest.isEmpty, positions.largest == largest else { throw malformed }
        self.init(tag: tag, epoch: epoch, appHash: app, userHash: user, deviceHash: device, positions: positions)
    }

    /// Appends the text form, as ASCII.
    package func append(to output: inout [UInt8]) {
        let start = output.count
        output.append(contentsOf: repeatElement(0, count: Self.maxTextLength))
        let written = output.withUnsafeMutableBytes { bytes in
            self.write(to: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
        }
        output.removeLast(Self.maxTextLength - written)
    }

    /// Longest text form, in bytes, with room to write it.
    package static let maxTextLength = 168

    /// Writes the text form, as ASCII, without allocating.
    ///
    /// - Parameter output: at least ``maxTextLength`` bytes.
    /// - Returns: how many bytes were written.
    package func write(to output: UnsafeMutableRawBufferPointer) -> Int {
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { bytes in
            bytes[0] = Self.version
            self.writeWord(self.tag, to: bytes, at: 1)
            self.writeWord(self.epoch, to: bytes, at: 5)
            self.writeWord(self.appHash, to: bytes, at: 9)
            self.writeWord(self.userHash, to: bytes, at: 13)
            self.writeWord(self.deviceHash, to: bytes, at: 17)
            var count = 21
            let largest = self.positions.largest
            Varint.write(largest, to: bytes, at: &count)
            for index in 0..<Lane.count { Varint.write(largest - self.positions[Lane(index: index)], to: bytes, at: &count) }
            return Base64URL.encode(UnsafeRawBufferPointer(rebasing: bytes[..<count]), into: output)
        }
    }

    @inline(__always)
    private func writeWord(_ word: UInt32, to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        bytes.storeBytes(of: word.bigEndian, toByteOffset: offset, as: UInt32.self)
    }
}

extension Cursor: CustomStringConvertible {
    package var description: String {
        var bytes: [UInt8] = []
        self.append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func popWord() -> UInt32? {
        guard self.count >= 4 else { return nil }
        let word = self.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        self.removeFirst(4)
        return word
    }
}
