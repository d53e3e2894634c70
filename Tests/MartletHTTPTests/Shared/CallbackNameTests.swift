import MartletHTTP
import MartletWire
import Testing

struct CallbackNameTests {
    @Test(arguments: [
        "cb", "_", "$", "jQuery1124_1763690947123", "app.push", "a.b.c.$d_9", "Parent", "Opener.x", "proto", "newer", "functions.do_", "iframe",
        String(repeating: "x", count: 64),
    ])
    func names(_ text: String) throws {
        #expect(try CallbackName(parsing: text).text == text)
    }

    /// By their bytes, and by what they would reach.
    @Test(arguments: [
        "", ".", "a.", ".a", "a..b", "1a", "a.1", "a b", " a", "a\n", "a\0", "a;alert(1)", "alert(1)//", "a(", "a)", "a[0]", "a['b']", "a\"", "a'",
        "a`", "a<b", "</script>", "<!--", "a-b", "a/b", "a/*", "a=b", "a,b", "a+b", "a?b", "a:b", "a\\u0062", "a%62", "é", "ａ", "a\u{2028}",
        "a\u{FEFF}", "a\u{200D}b", "{}", "\u{FFFD}", String(repeating: "x", count: 65), String(repeating: "a.", count: 40) + "a",
        "eval", "Function", "a.constructor", "__proto__", "a.__proto__.b", "a.prototype.b", "opener", "opener.document.forms", "a.opener.b", "top.x",
        "parent.x", "window.x", "self.x", "frames.x", "document.write", "location.assign", "globalThis.x", "new", "delete", "a.delete", "function",
        "this.x", "null", "true", "setTimeout", "x.contentWindow.y", "x.ownerDocument.defaultView.y",
    ])
    func refused(_ text: String) {
        #expect { try CallbackName(parsing: text) } throws: { ($0 as? WireError)?.code == .badRequest }
    }
}
