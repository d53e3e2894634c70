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
        let cursor = Cursor(
            tag: UInt32(truncatingIfNeeded: choices.word()), epoch: UInt32(truncatingIfNeeded: choices.word()),
            appHash: 7, userHash: UInt32(choices.byte()), deviceHash: UInt32(choices.byte()), positions: positions)
        let text = cursor.description
        check(text.utf8.count <= Cursor.maxTextLength, "\(text) is longer than a cursor may be")
        check((try? Cursor(parsing: text)) == cursor, "\(text) does not lead back")
    }
}
