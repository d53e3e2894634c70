import MartletCore
import MartletWire

/// A text that is taken for a cursor is the one text of that cursor; every cursor's text leads back to it.
enum CursorTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(WireError) {
            let cursor = try Cursor(parsing: text)
            check(cursor.description == text, "\(text) is not what \(cursor) is written as")
        } catch {
            check(error.code == .invalidCursor, "refused as \(error.code)")
        }
        Self.roundTrip(bytes)
    }

    private static func roundTrip(_ bytes: UnsafeRawBufferPointer) {
        var choices = Choices(bytes)
        var positions = Positions()
        for lane in Lane.all { positions[lane] = choices.word() >> UInt64(choices.byte() & 63) }
        var cursor = Cursor(
            tag: UInt32(truncatingIfNeeded: choices.word()), epoch: UInt32(truncatingIfNeeded: choices.word()),
            appHash: 7, userHash: UInt32(choices.byte()), deviceHash: UInt32(choices.byte()), positions: positions)
        if choices.byte() & 1 == 1 { cursor.topics = Self.topics(&choices) }
        let text = cursor.description
        check(text.utf8.count <= cursor.textRoom && text.utf8.count <= Cursor.maxLength, "\(text) is longer than a cursor may be")
        check((try? Cursor(parsing: text)) == cursor, "\(text) does not lead back")
    }

    private static func topics(_ choices: inout Choices) -> TopicPlace {
        var place = TopicPlace(
            memoryEpoch: UInt32(truncatingIfNeeded: choices.word()), memory: choices.word() >> UInt64(choices.byte() & 63),
            durable: choices.word() >> UInt64(choices.byte() & 63))
        for _ in 0..<Int(choices.byte()) % (TopicPlace.maxBehind + 1) {
            let log: TopicLogKind = choices.byte() & 1 == 0 ? .memory : .durable
            place.behind.append(
                .init(
                    hash: UInt32(truncatingIfNeeded: choices.word()), log: log, offset: choices.word() >> UInt64(choices.byte() & 63),
                    isKnown: choices.byte() & 1 == 1))
        }
        return place
    }
}
