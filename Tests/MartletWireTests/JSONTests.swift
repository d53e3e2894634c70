import MartletWire
import Testing

struct JSONTests {
    private func error(_ bytes: [UInt8], depth: Int = 64) -> WireError? {
        bytes.withUnsafeBytes { (buffer) -> WireError? in
            do throws(WireError) {
                _ = try JSON.value(in: buffer, maxDepth: depth)
                return nil
            } catch {
                return error
            }
        }
    }

    /// Names as in JSONTestSuite's y_ files, abridged.
    @Test(arguments: [
        "[]", "{}", "[[] ]", "[1,2]", " [1] ", "null", "true", "false", "\"\"", "0", "-0", "-1.5e+10", "1E-2",
        "123123e100000",
        #"["\u0060\u012a\u12AB"]"#, #""\ud83d\ude39\"\\\/\b\f\n\r\t""#, #"{"a":"b","a":"b"}"#, #"{"":0}"#,
        "[\"\u{7f}\"]",
        "\"\u{2028}\u{10ffff}é\"", "[1\n,\r\n\t2]", "12345678901234567890123456789012345678901234567890",
        #""a string that is longer than a word of eight bytes \\ é and goes on""#,
    ])
    func accepted(_ text: String) {
        #expect(self.error(Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        "", " ", "[", "]", "[1,]", "[,1]", "[1 2]", "{", "{]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{a:1}"#,
        "{'a':1}", #"{"a" 1}"#,
        "nul", "nulll", "True", "NaN", "Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1.e1", "0x1",
        "1_000", "--1",
        "\"", "\"a", #""\"#, #""\x""#, #""\u12""#, #""\u12g4""#, #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#,
        #""\ud800x""#,
        #""\ud800\n""#, "\"a\nb\"", "\"\u{0}\"", "\"\u{1f}\"", "1 2", "[] x", "\u{feff}[]", "/**/1", "[1]//", "\u{b}1",
    ])
    func refused(_ text: String) {
        #expect(self.error(Array(text.utf8))?.code == .invalidJSON)
    }

    @Test(
        arguments: [
            [0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf], [0xed, 0xa0, 0x80],
            [0xed, 0xbf, 0xbf],
            [0xf0, 0x80, 0x80, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xc3], [0xe2, 0x82],
            [0xe2, 0x28, 0xa1],
            [0xf0, 0x9f, 0x98], [0xf0, 0x9f, 0x28, 0x80],
        ] as [[UInt8]])
    func invalidUTF8(_ bytes: [UInt8]) {
        #expect(self.error([0x22] + bytes + [0x22])?.code == .invalidJSON)
        #expect(self.error([0x22] + Array("0123456789".utf8) + bytes + [0x22])?.message.contains("byte 11") == true)
        // Outside strings, and cut off by the end.
        #expect(self.error(bytes) != nil)
        #expect(self.error([0x22] + bytes) != nil)
    }

    @Test func errorsSayWhere() {
        #expect(self.error(Array(#"{"a":1,"b":x}"#.utf8))?.message.contains("at byte 11") == true)
        #expect(
            self.error(Array(#"{"a":1 "b":2}"#.utf8))?.message.contains("comma or closing brace is missing at byte 7")
                == true)
    }

    @Test func depth() {
        let nested = Array(String(repeating: "[", count: 8).utf8) + Array(String(repeating: "]", count: 8).utf8)
        #expect(self.error(nested, depth: 8) == nil)
        #expect(
            self.error(nested, depth: 7)
                == WireError(.badRequest, "The JSON nests arrays and objects deeper than 7 levels at byte 7.", limit: 7)
        )
        // Far deeper than any stack.
        #expect(self.error([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000), depth: .max)?.limit == 512)
    }

    /// Every prefix of a text is refused, as is every text with one byte turned into a control character.
    @Test func cutsAndHoles() {
        let text = Array(
            #"{"key":["text \u00e9 é \ud83d\ude00",-12.5e-7,true,false,null,{}],"long enough":"0123456789abcdef"}"#
                .utf8)
        #expect(self.error(text) == nil)
        for end in 0..<text.count { #expect(self.error(Array(text[..<end])) != nil, "\(end)") }
        for index in text.indices {
            var broken = text
            broken[index] = 0x01
            #expect(self.error(broken) != nil, "\(index)")
        }
    }

    @Test func values() throws {
        let text = Array(
            #" {"s":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z","p":"plain","n":18446744073709551615,"a":[1,"x",[2]],"o":{"k":null}}"#
                .utf8)
        try text.withUnsafeBytes { buffer in
            let members = try JSON.object(in: buffer, maxDepth: 8)
            #expect(members.map(\.key.string) == ["s", "p", "n", "a", "o"])
            #expect(members[0].value.string == "a\"\\/\u{8}\u{c}\n\r\té😀z")
            #expect(members[0].value.plainString == nil)
            #expect(members[1].value.plainString?.count == 5)
            #expect(members[1].value.equals("plain"))
            #expect(!members[1].value.equals("plainx"))
            #expect(members[2].value.unsigned == .max)
            #expect(members[3].value.elements.map(\.kind) == [.number, .string, .array])
            #expect(members[3].value.elements[0].unsigned == 1)
            #expect(members[4].value.members.first?.key.equals("k") == true)
            #expect(String(decoding: members[4].value.raw, as: UTF8.self) == #"{"k":null}"#)
            #expect(
                members[0].value.unsigned == nil && members[0].value.elements.isEmpty
                    && members[0].value.members.isEmpty)
        }
    }

    @Test(
        arguments: [
            ("18446744073709551616", nil), ("-1", nil), ("1.0", 1), ("7.00", 7), ("1.5", nil), ("1.05", nil), ("-1.0", nil), ("1e2", nil), ("0", 0),
            ("-0", nil),
        ]
            as [(String, UInt64?)])
    func unsigned(_ text: String, _ expected: UInt64?) throws {
        let value = try Array(text.utf8).withUnsafeBytes { try JSON.value(in: $0, maxDepth: 1).unsigned }
        #expect(value == expected)
    }

    /// What begins like something else than JSON is told by its name.
    @Test(
        arguments: [([0xef, 0xbb, 0xbf, 0x31], "byte order mark"), ([0xff, 0xfe, 0x31, 0], "UTF-16"), ([0x1f, 0x8b, 8, 0], "gzip")]
            as [([UInt8], String)])
    func foreign(_ bytes: [UInt8], _ part: String) {
        do {
            _ = try bytes.withUnsafeBytes { try JSON.value(in: $0, maxDepth: 1) }
            Issue.record("accepted")
        } catch {
            let error = error as? WireError
            #expect(error?.code == .invalidJSON)
            #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
        }
    }

    @Test func writing() throws {
        var output: [UInt8] = []
        let text = "a\"b\\c/\n\r\t\u{0}\u{1f}\u{7f}é😀"
        JSON.append(text, to: &output)
        #expect(String(decoding: output, as: UTF8.self) == "\"a\\\"b\\\\c/\\n\\r\\t\\u0000\\u001f\u{7f}é😀\"")
        let back = try output.withUnsafeBytes { try JSON.value(in: $0, maxDepth: 1).string }
        #expect(back == text)
        let error = WireError(.messageTooLarge, "Say \"less\".", limit: 3)
        #expect(
            String(decoding: error.json, as: UTF8.self)
                == #"{"error":{"code":"message_too_large","message":"Say \"less\".","limit":3}}"#)
    }
}
