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

    /// Longest text that is looked at, in bytes.
    package static let maxLength = 512
    private static let version: UInt8 = 1

    package init(tag: UInt32, epoch: UInt32, appHash: UInt32, userHash: UInt32, deviceHash: UInt32, positions: Positions) {
        self.tag = tag
        self.epoch = epoch
        self.appHash = appHash
        self.userHash = userHash
        self.deviceHash = deviceHash
        self.positions = positions
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
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        bytes.append(Self.version)
        for word in [self.tag, self.epoch, self.appHash, self.userHash, self.deviceHash] {
            for shift in stride(from: UInt32(24), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        let largest = self.positions.largest
        Varint.append(largest, to: &bytes)
        for lane in Lane.all { Varint.append(largest - self.positions[lane], to: &bytes) }
        Base64URL.encode(bytes, into: &output)
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
