import MartletHTTP
import NIOCore
import Testing

/// Hostile contents, each by its exact bytes in a script.
struct ScriptTextTests {
    private func script(_ text: String) -> String {
        var buffer = ByteBuffer()
        ScriptText.append(ByteBuffer(string: text), into: &buffer)
        return String(buffer: buffer)
    }

    private static let hostile: [(String, String)] = [
        ("", #""""#), ("plain é 🐦 \u{FFFD}", "\"plain é 🐦 \u{FFFD}\""), (#"a"b"#, #""a\"b""#), (#"a\b"#, #""a\\b""#), (#"\"#, #""\\""#),
        (#"\""#, #""\\\"""#), ("it's `x` ${y}", "\"it's `x` ${y}\""), ("</script>", #""\u003c/script\u003e""#),
        ("</SCRIPT ><script>alert(1)</script>", #""\u003c/SCRIPT \u003e\u003cscript\u003ealert(1)\u003c/script\u003e""#),
        ("<!--", #""\u003c!--""#), ("-->", #""--\u003e""#), ("]]>", #""]]\u003e""#), ("<![CDATA[", #""\u003c![CDATA[""#),
        ("&lt;/script&gt;", #""\u0026lt;/script\u0026gt;""#), ("a\nb\rc\td", #""a\nb\rc\u0009d""#),
        ("\0\u{1}\u{1f}\u{7f}", #""\u0000\u0001\u001f\u007f""#),
        ("\u{2028}x\u{2029}", #""\u2028x\u2029""#), ("\u{2027}\u{202a}\u{85}\u{feff}", "\"\u{2027}\u{202a}\u{85}\u{feff}\""),
        (#"\u2028\u003c"#, #""\\u2028\\u003c""#), (#"{"__proto__":1,"__proto__":2}"#, #""{\"__proto__\":1,\"__proto__\":2}""#),
    ]

    @Test(arguments: hostile)
    func strings(_ text: String, _ expected: String) {
        #expect(self.script(text) == expected)
    }

    /// Bytes that are not UTF-8 cannot come here, and could end nothing if they did.
    @Test func pieces() {
        for bytes in [[0xe2], [0xe2, 0x80], [0xe2, 0x80, 0x22], [0xed, 0xa0, 0x80], [0xc0, 0xbc], [0xf8, 0x22]] as [[UInt8]] {
            var buffer = ByteBuffer()
            ScriptText.append(ByteBuffer(bytes: bytes), into: &buffer)
            let written = Array(buffer.readableBytesView)
            #expect(written.dropFirst().dropLast().filter { $0 == 0x22 }.count == bytes.filter { $0 == 0x22 }.count)
            #expect(written.dropLast().indices.allSatisfy { $0 == 0 || written[$0] != 0x22 || written[$0 - 1] == 0x5c })
            #expect(!written.contains(0x3c))
        }
    }
}
