import Crypto
import MartletWire

/// The page at `/` in dev mode: the same message over every transport side by side, a killed server survived, priorities, a room, and
/// forms to try everything.
///
/// One document without a build step; but for `/martlet.js` it loads nothing. What a message holds reaches the document as text only
/// (`textContent`), and the policy in its head runs no other scripts and styles than its own, by their hashes.
package enum DevPage {
    /// The whole document, UTF-8; served as `text/html; charset=utf-8`.
    package static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy" content="\(Self.policy)">
        <title>Martlet</title>
        <link rel="icon" href="data:image/svg+xml,\(Self.icon)">
        <style>\(Self.allStyle)</style>
        </head>
        <body>
        \(Self.markup)
        <script>\(Self.allScript)</script>
        </body>
        </html>
        """

    private static let allStyle = [Self.style, Self.stageStyle].joined(separator: "\n")

    private static let allScript = [
        Self.basicsScript, Self.linkScript, Self.transportsScript, Self.deliveryScript, Self.lanesScript, Self.boardScript,
        Self.scenesScript, Self.deviceScript, Self.roomScript, Self.publishScript,
    ].joined(separator: "\n")

    /// `'self'` is for `/martlet.js`, JSONP and the forever-iframe.
    private static let policy = """
        default-src 'none'; style-src '\(Self.hash(of: Self.allStyle))'; script-src 'self' '\(Self.hash(of: Self.allScript))'; \
        connect-src 'self' ws: wss:; frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'
        """

    /// As a content security policy names an inline script or style (CSP level 2).
    private static func hash(of text: String) -> String {
        var source = "sha256-"
        // Base64 with padding: 32 bytes are 43 characters and one "=".
        var encoded: [UInt8] = []
        Base64URL.encode(Array(SHA256.hash(data: Array(text.utf8))), into: &encoded)
        for byte in encoded {
            switch byte {
            case UInt8(ascii: "-"): source.append("+")
            case UInt8(ascii: "_"): source.append("/")
            default: source.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        return source + "="
    }

    private static let icon =
        "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath fill='%230f766e' "
        + "d='M2 9c6 0 9 2 12 5l3-8c1 3 3 5 6 6h7c-2 2-3 3-5 4 0 6-5 10-11 10 2-1 4-3 4-5-5 0-12-4-16-12z'/%3E%3C/svg%3E"
}
