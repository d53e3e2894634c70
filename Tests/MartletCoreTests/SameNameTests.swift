import MartletCore
import Testing

/// ``isSameName(_:_:)`` looks at bytes, eight at a time.
@Suite struct SameNameTests {
    @Test func lengthsAroundAWordAreComparedWhole() {
        for length in 0...40 {
            let name = String(repeating: "a", count: length)
            #expect(isSameName(name, name))
            #expect(!isSameName(name, name + "a"))
            for index in 0..<length {
                var bytes = Array(name.utf8)
                bytes[index] = UInt8(ascii: "b")
                #expect(!isSameName(name, String(decoding: bytes, as: UTF8.self)))
            }
        }
    }

    @Test func whatUnicodeCallsEquivalentIsNotTheSame() {
        #expect(!isSameName("caf\u{e9}", "cafe\u{301}"))
        // As many bytes, in another order.
        #expect("q\u{307}\u{323}" == "q\u{323}\u{307}")
        #expect(!isSameName("q\u{307}\u{323}", "q\u{323}\u{307}"))
        #expect(isSameName("q\u{307}\u{323}", "q\u{307}\u{323}"))
    }

    @Test func noNameIsTheSameAsNoNameOnly() {
        #expect(isSameName(nil, nil))
        #expect(!isSameName(nil, ""))
        #expect(!isSameName("", nil))
    }
}
