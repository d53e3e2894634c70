/// The page at `/` in dev mode: a live subscriber, a publish form and a room.
///
/// One document without external resources. What a message holds reaches the document as text only (`textContent`),
/// and the policy in its head allows connections to its own origin alone.
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
        <style>
        \(Self.style)
        </style>
        </head>
        <body>
        \(Self.markup)
        <script>
        \(Self.script)
        \(Self.sessionScript)
        \(Self.roomScript)
        </script>
        </body>
        </html>
        """

    private static let policy = """
        default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' ws: wss:; \
        img-src data:; base-uri 'none'; form-action 'none'
        """

    private static let icon =
        "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath fill='%230f766e' "
        + "d='M2 9c6 0 9 2 12 5l3-8c1 3 3 5 6 6h7c-2 2-3 3-5 4 0 6-5 10-11 10 2-1 4-3 4-5-5 0-12-4-16-12z'/%3E%3C/svg%3E"
}
