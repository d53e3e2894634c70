import MartletCore

/// The small values that are stored as bytes.
enum Codec {
    /// Nine varints.
    static func encode(_ positions: Positions) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(27)
        for lane in Lane.all { Varint.append(positions[lane], to: &bytes) }
        return bytes
    }

    static func positions(_ bytes: inout ArraySlice<UInt8>) -> Positions? {
        var positions = Positions()
        for lane in Lane.all {
            guard let offset = Varint.read(&bytes) else { return nil }
            positions[lane] = offset
        }
        return positions
    }

    /// Seq and positions, again and again.
    static func encode(_ marks: [SeqMark]) -> [UInt8] {
        var bytes: [UInt8] = []
        for mark in marks {
            Varint.append(mark.seq, to: &bytes)
            for lane in Lane.all { Varint.append(mark.positions[lane], to: &bytes) }
        }
        return bytes
    }

    static func marks(_ bytes: [UInt8]) -> [SeqMark]? {
        var rest = bytes[...]
        var marks: [SeqMark] = []
        while !rest.isEmpty {
            guard let seq = Varint.read(&rest), let positions = Self.positions(&rest) else { return nil }
            marks.append(SeqMark(seq: seq, positions: positions))
        }
        return marks
    }

    /// Inbox ids as varints, in the order of the request's targets.
    static func encode(inboxes: [Int64]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(inboxes.count * 3)
        for id in inboxes { Varint.append(UInt64(bitPattern: id), to: &bytes) }
        return bytes
    }

    static func inboxes(_ bytes: [UInt8]) -> [Int64] {
        var rest = bytes[...]
        var ids: [Int64] = []
        while let id = Varint.read(&rest) { ids.append(Int64(bitPattern: id)) }
        return ids
    }
}

/// The bits of `message.flags`. Stored: they never change.
enum MessageFlag {
    static let recalled: Int64 = 1
    static let liveOnly: Int64 = 2
}
