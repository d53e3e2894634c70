import MartletWire
package import NIOCore

/// The HTML page of a forever-iframe: a script for each frame, which calls a function of the page around it.
///
/// Only scripts with the answer's own nonce run, nothing else is loaded, and only pages of the same origin may show it. Opened in a window
/// of its own it calls nothing.
package final class IframePage: Sendable {
    private let callback: CallbackName
    /// Names the scripts that may run (CSP level 2).
    private let nonce: String

    /// Bytes before the first script: old browsers show nothing of a page before they have some.
    private static let paddingBytes = 2_048

    /// - Parameter nonce: nobody can guess it; a new one for each answer.
    package init(_ callback: CallbackName, nonce: String = IframePage.makeNonce()) {
        self.callback = callback
        self.nonce = nonce
    }

    /// 128 random bits.
    package static func makeNonce() -> String {
        var text: [UInt8] = []
        for _ in 0..<2 {
            withUnsafeBytes(of: UInt64.random(in: .min ... .max)) { Base64URL.encode($0, into: &text) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static let contentType = "text/html; charset=utf-8"

    /// What the answer says beside its content type.
    package var headers: [(String, String)] {
        [
            ("cache-control", "no-store, no-transform"), ("x-content-type-options", "nosniff"), ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "no-referrer"),
            (
                "content-security-policy",
                "default-src 'none'; script-src 'nonce-\(self.nonce)'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
                    + "sandbox allow-scripts allow-same-origin"
            ),
        ]
    }

    /// The page's beginning. A script takes itself out when it runs, so the page does not grow.
    package func begin(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("<!doctype html><html><head><meta charset=\"utf-8\"><title>Martlet</title></head><body><!--")
        buffer.writeRepeatingByte(UInt8(ascii: " "), count: Self.paddingBytes)
        buffer.writeString(
            "--><script nonce=\"\(self.nonce)\">function m(t){var s=document.getElementsByTagName(\"script\");s=s[s.length-1];"
                + "s.parentNode.removeChild(s);if(parent!==window)parent.\(self.callback.text)(parent.JSON.parse(t))}</script>\n")
    }

    /// One call, with JSON.
    package func call(_ json: ByteBuffer, into buffer: inout ByteBuffer) {
        buffer.writeString("<script nonce=\"\(self.nonce)\">m(")
        ScriptText.append(json, into: &buffer)
        buffer.writeStaticString(")</script>\n")
    }

    /// A whole page with one call.
    func only(_ json: ByteBuffer) -> ByteBuffer {
        var page = ByteBuffer()
        self.begin(into: &page)
        self.call(json, into: &page)
        return page
    }
}
