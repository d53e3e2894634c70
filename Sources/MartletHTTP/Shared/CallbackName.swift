import MartletCore
package import MartletWire

/// The name of a page's function that an answer calls (JSONP, iframe streams).
///
/// **Shape.** `[A-Za-z_$][A-Za-z0-9_$]*`, with dots between such parts; at most 64 bytes. No part is a reserved word, nor a name that
/// leads out of the page's own functions (``traps``): with `opener.document.form.submit` a link could press buttons in another window.
package struct CallbackName: Equatable, Sendable {
    package let text: String

    /// Bytes of a name.
    package static let limit = 64

    /// Reserved words of ECMAScript, and what reaches prototypes, code, or other windows.
    private static let traps: Set<Substring> = [
        "arguments", "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do", "else", "enum",
        "export", "extends", "false", "finally", "for", "function", "if", "implements", "import", "in", "instanceof", "interface", "let", "new",
        "null", "package", "private", "protected", "public", "return", "static", "super", "switch", "this", "throw", "true", "try", "typeof",
        "undefined", "var", "void", "while", "with", "yield",
        "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__", "__proto__", "constructor", "prototype",
        "Function", "Reflect", "eval", "execScript", "setImmediate", "setInterval", "setTimeout",
        "contentDocument", "contentWindow", "defaultView", "document", "frames", "globalThis", "history", "location", "navigation", "opener",
        "ownerDocument", "parent", "self", "top", "window",
    ]

    /// Untrusted: any text, any length.
    ///
    /// - Throws: `bad_request`.
    package init(parsing text: String) throws(WireError) {
        guard text.utf8.count <= Self.limit else {
            throw WireError(.badRequest, "'callback' may have at most \(Self.limit) characters.", limit: Self.limit)
        }
        for part in text.split(separator: ".", omittingEmptySubsequences: false) {
            guard Self.isPart(part.utf8) else {
                throw WireError(
                    .badRequest, "'callback' must be the name of a function: letters of ASCII, digits, _ and $, with dots between such names.")
            }
            guard !Self.traps.contains(part) else {
                throw WireError(.badRequest, "'callback' cannot have a part \(NameHint.quoted(String(part))): use a function of the page's own.")
            }
        }
        self.text = text
    }

    private static func isPart(_ bytes: Substring.UTF8View) -> Bool {
        guard let first = bytes.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "$"):
                true
            default: false
            }
        }
    }
}
