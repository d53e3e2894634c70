import NIOHTTP1

/// Which web pages may talk to the server (RFC 6454, WHATWG Fetch).
///
/// A page of another origin cannot open a WebSocket, and cannot use what the browser sends by itself: cookies, and in dev
/// mode the mere ability to reach the server.
package struct OriginPolicy: Sendable {
    enum Verdict: Equatable {
        /// No browser, or a page of this server.
        case own
        /// Named in the configuration; in dev mode any page of this machine.
        case listed
        /// Allowed only because all are.
        case anyone
        case foreign
    }

    private let listed: Set<String>
    private let all: Bool
    private let isDev: Bool

    /// - Parameter origins: such as `https://example.com`; `*` is all.
    package init(_ origins: [String], isDev: Bool) {
        self.listed = Set(origins.map { Self.normal($0.lowercased()) })
        self.all = origins.contains("*")
        self.isDev = isDev
    }

    /// - Parameters: the `Origin` and `Host` of a request; untrusted.
    func verdict(origin: String?, host: String?) -> Verdict {
        guard let origin = origin?.lowercased() else { return .own }
        let normal = Self.normal(origin)
        if self.listed.contains(normal) { return .listed }
        if self.isDev {
            // Not by the Host: a name of somebody's own may point here.
            if Self.isLoopback(normal) { return .listed }
        } else if let host, let scheme = normal.firstRange(of: "://"),
            normal[scheme.upperBound...] == Self.withoutPort(host.lowercased(), [":80", ":443"])
        {
            return .own
        }
        return self.all ? .anyone : .foreign
    }

    /// Without the port that its scheme implies.
    private static func normal(_ origin: String) -> String {
        if origin.hasPrefix("http://") { return String(self.withoutPort(origin, [":80"])) }
        if origin.hasPrefix("https://") { return String(self.withoutPort(origin, [":443"])) }
        return origin
    }

    private static func withoutPort(_ text: String, _ ports: [String]) -> Substring {
        for port in ports where text.hasSuffix(port) { return text.dropLast(port.count) }
        return text[...]
    }

    private static func isLoopback(_ origin: String) -> Bool {
        guard let scheme = origin.firstRange(of: "://") else { return false }
        return LoopbackHost.matches(origin[scheme.upperBound...].utf8)
    }

    // MARK: CORS

    private static let methods = "GET, HEAD, POST, PUT, DELETE"
    private static let requestHeaders =
        "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Martlet-Cursor, Message-Type, Retain, TTL, X-API-Key"
    private static let answerHeaders = "ETag, Idempotent-Replayed, Martlet-Error, Martlet-Exchange, Martlet-Pending, Retry-After"
    /// How long a browser may remember the answer to a preflight, in seconds.
    private static let maxAgeSeconds = 7_200

    /// What every answer to a page carries; nothing if the request says no origin.
    func headers(origin: String?, host: String?) -> [(String, String)] {
        guard let origin else { return [] }
        switch self.verdict(origin: origin, host: host) {
        case .own, .foreign: return [("vary", "Origin")]
        case .anyone:
            return [("access-control-allow-origin", "*"), ("access-control-expose-headers", Self.answerHeaders)]
        case .listed:
            return [
                ("vary", "Origin"), ("access-control-allow-origin", origin), ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", Self.answerHeaders),
            ]
        }
    }

    /// ``headers(origin:host:)`` as lines of a head that is written by hand.
    func lines(_ headers: HTTPHeaders) -> String {
        guard let origin = headers.first(name: "origin") else { return "" }
        return self.headers(origin: origin, host: headers.first(name: "host")).map { "\($0.0): \($0.1)\r\n" }.joined()
    }

    private static let preflight = [
        ("access-control-allow-methods", Self.methods), ("access-control-allow-headers", Self.requestHeaders),
        ("access-control-max-age", String(Self.maxAgeSeconds)),
    ]

    /// What the answer to a preflight carries beside ``headers(origin:host:)``; nil if the page may not ask.
    func preflight(_ headers: HTTPHeaders) -> [(String, String)]? {
        let verdict = self.verdict(origin: headers.first(name: "origin"), host: headers.first(name: "host"))
        guard verdict != .foreign else { return nil }
        // A page of the open web asks for a server of a private network (WICG Private Network Access): only who was named may.
        guard verdict != .anyone, headers.first(name: "access-control-request-private-network") == "true" else { return Self.preflight }
        return Self.preflight + [("access-control-allow-private-network", "true")]
    }
}
