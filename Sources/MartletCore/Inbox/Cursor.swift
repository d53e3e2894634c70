package import MartletWire

/// A place in all the logs that one device reads, as a client hands it back when it reconnects.
///
/// **Shape.** base64url of: version (1 byte), session tag, epoch, hash of the app, of the user, of the device
/// (4 bytes each, big-endian), the largest offset (varint), then for each of the nine lanes how far it is behind
/// the largest (varint). That is version 1, at most 121 bytes. Version 2 goes on with the place in topics: epoch of the memory log (4 bytes),
/// offset in the memory log and in the durable one, each with one added, or 0 for ``TopicPlace/unread`` (varint), the number of filters
/// that were read less far or further (1 byte, at most ``TopicPlace/maxBehind``), and for each of these its hash (4 bytes), its log (1 byte,
/// with 2 added if it is ahead, and 4 for ``TopicPlace/Behind/isKnown``), and how far it is behind or ahead of that log's offset (varint).
/// At most 326 bytes, so 435 characters; URL-safe. Opaque to clients.
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
    private static let versionWithTopics: UInt8 = 2

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
        guard let version = rest.popFirst(), version == Self.version || version == Self.versionWithTopics, let tag = rest.popWord(),
            let epoch = rest.popWord(),
            let app = rest.popWord(), let user = rest.popWord(), let device = rest.popWord(),
            let largest = Varint.read(&rest)
        else { throw malformed }
        var positions = Positions()
        for lane in Lane.all {
            guard let behind = Varint.read(&rest), behind <= largest else { throw malformed }
            positions[lane] = largest - behind
        }
        guard positions.largest == largest else { throw malformed }
        var topics: TopicPlace?
        if version == Self.versionWithTopics {
            guard let place = TopicPlace(parsing: &rest) else { throw malformed }
            topics = place
        }
        guard rest.isEmpty else { throw malformed }
        self.init(tag: tag, epoch: epoch, appHash: app, userHash: user, deviceHash: device, positions: positions, topics: topics)
    }

    /// Appends the text form, as ASCII.
    package func append(to output: inout [UInt8]) {
        withUnsafeTemporaryAllocation(byteCount: self.textRoom, alignment: 8) { text in
            let written = self.write(to: text)
            output.append(contentsOf: text[..<written])
        }
    }

    /// Longest text form of any cursor, in bytes, with room to write it.
    package static let maxTextLength = 440

    /// Longest text form that this cursor may have, in bytes, with room to write it.
    package var textRoom: Int { self.topics == nil ? 168 : Self.maxTextLength }

    /// Writes the text form, as ASCII, without allocating.
    ///
    /// - Parameter output: at least ``textRoom`` bytes.
    /// - Returns: how many bytes were written.
    package func write(to output: UnsafeMutableRawBufferPointer) -> Int {
        withUnsafeTemporaryAllocation(byteCount: 328, alignment: 8) { bytes in
            bytes[0] = self.topics == nil ? Self.version : Self.versionWithTopics
            writeWord(self.tag, to: bytes, at: 1)
            writeWord(self.epoch, to: bytes, at: 5)
            writeWord(self.appHash, to: bytes, at: 9)
            writeWord(self.userHash, to: bytes, at: 13)
            writeWord(self.deviceHash, to: bytes, at: 17)
            var count = 21
            let largest = self.positions.largest
            Varint.write(largest, to: bytes, at: &count)
            for index in 0..<Lane.count { Varint.write(largest - self.positions[Lane(index: index)], to: bytes, at: &count) }
            self.topics?.write(to: bytes, at: &count)
            return Base64URL.encode(UnsafeRawBufferPointer(rebasing: bytes[..<count]), into: output)
        }
    }
}

extension Cursor {
    /// The cursor to begin with for one who presented another, before it has been told what that one's topics lost: should the rest not arrive,
    /// it is told the next time. Parts of a history that is no more, or beyond an end, stay as they were presented.
    package func keepingUntold(of presented: Cursor) -> Cursor {
        guard let own = self.topics, let theirs = presented.topics else { return self }
        var cursor = self
        var place = own
        if theirs.memory != TopicPlace.unread, theirs.memoryEpoch != own.memoryEpoch || theirs.memory > own.memory {
            place.memoryEpoch = theirs.memoryEpoch
            place.take(.memory, of: theirs)
        }
        if theirs.durable != TopicPlace.unread, presented.epoch != self.epoch || theirs.durable > own.durable {
            cursor.epoch = presented.epoch
            place.take(.durable, of: theirs)
        }
        cursor.topics = place
        return cursor
    }
}

extension TopicPlace {
    fileprivate mutating func take(_ log: TopicLogKind, of other: TopicPlace) {
        self[log] = other[log]
        self.behind.removeAll { $0.log == log }
        self.behind += other.behind.filter { $0.log == log }
    }
}

extension Cursor: CustomStringConvertible {
    package var description: String {
        var bytes: [UInt8] = []
        self.append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension TopicPlace {
    /// Takes a place off the front.
    ///
    /// - Returns: nil if it is not one that was written.
    fileprivate init?(parsing bytes: inout ArraySlice<UInt8>) {
        guard let epoch = bytes.popWord(), let memory = Varint.read(&bytes), let durable = Varint.read(&bytes),
            let count = bytes.popFirst(), count <= Self.maxBehind
        else { return nil }
        self.init(memoryEpoch: epoch, memory: memory &- 1, durable: durable &- 1)
        for _ in 0..<count {
            guard let hash = bytes.popWord(), let kind = bytes.popFirst(), let log = TopicLogKind(rawValue: kind & ~6),
                let distance = Varint.read(&bytes)
            else { return nil }
            let isAhead = kind & 2 != 0
            let (offset, overflow) = isAhead ? self[log].addingReportingOverflow(distance) : self[log].subtractingReportingOverflow(distance)
            guard !overflow, !(isAhead && distance == 0) else { return nil }
            self.behind.append(Behind(hash: hash, log: log, offset: offset, isKnown: kind & 4 != 0))
        }
    }

    /// Writes the place, at most 205 bytes. One with more than ``maxBehind`` filters is written as if all had been read as far as the one that
    /// is furthest behind.
    fileprivate func write(to bytes: UnsafeMutableRawBufferPointer, at count: inout Int) {
        let isListed = self.behind.count <= Self.maxBehind
        var place = (self.memory, self.durable)
        if !isListed {
            for filter in self.behind {
                if filter.log == .memory { place.0 = min(place.0, filter.offset) } else { place.1 = min(place.1, filter.offset) }
            }
        }
        writeWord(self.memoryEpoch, to: bytes, at: count)
        count += 4
        Varint.write(place.0 &+ 1, to: bytes, at: &count)
        Varint.write(place.1 &+ 1, to: bytes, at: &count)
        bytes[count] = isListed ? UInt8(truncatingIfNeeded: self.behind.count) : 0
        count += 1
        guard isListed else { return }
        for filter in self.behind {
            let offset = self[filter.log]
            writeWord(filter.hash, to: bytes, at: count)
            let isAhead = filter.offset > offset
            bytes[count + 4] = filter.log.rawValue | (isAhead ? 2 : 0) | (filter.isKnown ? 4 : 0)
            count += 5
            Varint.write(isAhead ? filter.offset - offset : offset - filter.offset, to: bytes, at: &count)
        }
    }
}

@inline(__always)
private func writeWord(_ word: UInt32, to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
    bytes.storeBytes(of: word.bigEndian, toByteOffset: offset, as: UInt32.self)
}

extension ArraySlice<UInt8> {
    fileprivate mutating func popWord() -> UInt32? {
        guard self.count >= 4 else { return nil }
        let word = self.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        self.removeFirst(4)
        return word
    }
}
