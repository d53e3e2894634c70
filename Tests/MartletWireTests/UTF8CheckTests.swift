import MartletWire
import Testing

struct UTF8CheckTests {
    private func check(_ pieces: [[UInt8]]) -> (valid: Bool, complete: Bool) {
        var check = UTF8Check()
        for piece in pieces where !piece.withUnsafeBytes({ check.accept($0) }) { return (false, false) }
        return (true, check.isComplete)
    }

    /// The same verdict as the standard library's, whole, byte by byte, and cut in two anywhere.
    @Test(arguments: [11, 12, 13] as [UInt64])
    func agreesWithTheStandardLibrary(seed: UInt64) {
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let original = Array("plain text, é, €, \u{d7ff}\u{e000}\u{ffff}, 🚕\u{10ffff} and more".utf8)
        var valid = 0
        for round in 0..<5_000 {
            var bytes = original
            if round % 8 != 0 { bytes[random(bytes.count)] = UInt8(random(256)) }
            if round % 3 == 0 { bytes = Array(bytes[..<random(bytes.count)]) }
            let expected = String(validating: bytes, as: UTF8.self) != nil
            if expected { valid += 1 }
            let whole = self.check([bytes])
            let dripped = self.check(bytes.map { [$0] })
            let cut = random(bytes.count + 1)
            let halves = self.check([Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect((whole.valid && whole.complete) == expected)
            #expect(whole == dripped)
            #expect(whole == halves)
        }
        #expect(valid > 500)
    }

    /// A surrogate is refused at its second byte, an overlong form too.
    @Test func failsFast() {
        #expect(!self.check([[0xed], [0xa0]]).valid)
        #expect(!self.check([[0xe0], [0x9f]]).valid)
        #expect(!self.check([[0xf4], [0x90]]).valid)
        #expect(!self.check([[0xc0]]).valid)
        #expect(self.check([[0xf4], [0x8f]]) == (true, false))
    }
}
