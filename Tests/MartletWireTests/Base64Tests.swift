import MartletWire
import Testing

@Suite struct Base64Tests {
    private func encode(_ bytes: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        bytes.withUnsafeBytes { Base64.append($0, to: &output) }
        return output
    }

    /// RFC 4648 §10.
    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")])
    func theStandardsOwn(plain: String, text: String) {
        #expect(self.encode(Array(plain.utf8)) == Array(text.utf8))
        #expect(Base64.decode(text.utf8.map { $0 }) == Array(plain.utf8))
    }

    @Test(arguments: 0..<70)
    func whatIsEncodedIsDecoded(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 167 + count * 31) }
        let text = self.encode(bytes)
        #expect(Base64.isValid(text))
        #expect(Base64.decode(text) == bytes)
        // Every character counts.
        for index in text.indices {
            for wrong in [UInt8(ascii: "-"), UInt8(ascii: " "), 0, 0xff] {
                var broken = text
                broken[index] = wrong
                #expect(!Base64.isValid(broken) && Base64.decode(broken) == nil)
            }
        }
    }

    @Test(arguments: ["Z", "Zg", "Zg=", "Zg===", "====", "=", "Z===", "Zg==Zg==", "Zm9v\n", "Zm9v=", "Z=g=", "Zm9vZg==="])
    func whatIsNone(text: String) {
        let bytes = Array(text.utf8)
        #expect(!Base64.isValid(bytes) && Base64.decode(bytes) == nil)
    }

    @Test func bitsThatStandForNothingMayBeAnything() { #expect(Base64.decode(Array("Zh==".utf8)) == [UInt8(ascii: "f")]) }
}
