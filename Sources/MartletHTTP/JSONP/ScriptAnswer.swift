import MartletWire
package import NIOCore
import NIOHTTP1

/// An answer that a page loads as a script, and that calls one of its functions (JSONP): `/**/NAME(JSON.parse("…"));`.
///
/// A page sees neither the status nor the header of a script, and nothing at all of one with an error's status: so errors are calls too,
/// with status 200.
package struct ScriptAnswer: Sendable {
    private let callback: CallbackName

    package init(_ callback: CallbackName) { self.callback = callback }

    static let contentType = "application/javascript; charset=utf-8"
    // A browser that asks again must not run an old answer once more.
    static let headers = [("cache-control", "no-store, no-transform"), ("x-content-type-options", "nosniff")]

    /// The comment keeps the bytes from being the beginning of another format (Rosetta Flash).
    package func body(_ json: ByteBuffer) -> ByteBuffer {
        var body = ByteBufferAllocator().buffer(capacity: json.readableBytes + json.readableBytes / 4 + 96)
        body.writeString("/**/\(self.callback.text)(JSON.parse(")
        ScriptText.append(json, into: &body)
        body.writeStaticString("));\n")
        return body
    }

    func respond(_ json: ByteBuffer, _ front: FrontHandler) {
        front.respond(status: .ok, contentType: Self.contentType, headers: Self.headers, body: self.body(json))
    }

    func respond(_ error: WireError, _ front: FrontHandler) {
        front.services.metrics.refused(error.code)
        self.respond(ByteBuffer(bytes: error.json), front)
    }

    /// Keeps what a cookie, or dev mode, allows from the scripts of pages elsewhere: what a script brings, every page that names it reads.
    /// Browsers of before 2023 do not say whose page asks.
    ///
    /// - Throws: `forbidden`.
    static func refuseUnsaid(_ request: FrontRequest, _ services: HTTPServices) throws(WireError) {
        let headers = request.head.headers
        // A token in sight is nobody else's doing.
        guard !headers.contains(name: "sec-fetch-site"), !headers.contains(name: "authorization"), request.query["token"] == nil else { return }
        // In dev mode it takes none: every browser says that it is one.
        guard !services.isDev || headers.first(name: "user-agent")?.hasPrefix("Mozilla/") == true else { return }
        throw WireError(.forbidden, "Your browser does not say which page asks, so only a token in the URL counts here: add &token=.")
    }
}
