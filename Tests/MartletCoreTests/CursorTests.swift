import MartletCore
import MartletWire
import Testing

struct CursorTests {
    private var sample: Cursor {
        var positions = Positions()
        for lane in Lane.all { positions[lane] = UInt64(lane.index) * 1_000_003 }
        return Cursor(tag: 0xdead_beef, epoch: 7, appHash: 1, userHash: 2, deviceHash: 0, positions: positions)
    }

    @Test func roundTrip() throws {
        var cursors = [self.sample]
        cursors.append(Cursor(tag: 0, epoch: 0, appHash: 0, userHash: 0, deviceHash: 0, positions: Positions()))
        cursors.append(
            Cursor(
                tag: .max, epoch: .max, appHash: .max, userHash: .max, deviceHash: .max, positions: Positions(all: .max)
            ))
        var extremes = Positions()
        extremes[Lane(index: 8)] = .max
        cursors.append(Cursor(tag: 1, epoch: 1, appHash: 1, userHash: 1, deviceHash: 1, positions: extremes))
        for cursor in cursors {
            let text = cursor.description
            #expect(text.utf8.count <= 176)
            #expect(text.utf8.allSatisfy { $0 < 0x80 && $0 > 0x20 })
            #expect(try Cursor(parsing: text) == cursor)
        }
    }

    @Test(arguments: [
        "", "A", "!!!!", "AQ", String(repeating: "A", count: 100), String(repeating: "A", count: 600), "é", "AQAAAA==",
    ])
    func garbage(_ text: String) {
        #expect(throws: WireError.self) { try Cursor(parsing: text) }
    }

    /// One cursor has one text: no changed text parses to the same cursor, and no prefix parses at all.
    @Test func changedTexts() {
        let cursor = self.sample
        let text = cursor.description
        for end in text.indices { #expect((try? Cursor(parsing: text[..<end])) == nil) }
        for index in text.indices {
            for character in "AZaz09-_" where character != text[index] {
                var changed = text
                changed.replaceSubrange(index...index, with: String(character))
                #expect((try? Cursor(parsing: changed)) != cursor)
            }
        }
        #expect((try? Cursor(parsing: text + "A")) == nil)
    }

    @Test func hashes() {
        #expect(Cursor.hash(nil) == 0)
        #expect(Cursor.hash("alice") != Cursor.hash("bob"))
        #expect(Cursor.hash("") != 0)
    }
}
