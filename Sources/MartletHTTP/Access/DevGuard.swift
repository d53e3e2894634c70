import MartletNet
import MartletWire
import NIOHTTP1

/// Keeps web pages of elsewhere from a server in dev mode, where to reach it is all that it takes.
///
/// A page can point its own name at this machine (DNS rebinding); then `Host` is that name. And it can ask without reading the
/// answer (an image, a form, a frame); then browsers say `Sec-Fetch-Site: cross-site` (W3C Fetch Metadata), or an `Origin` that
/// ``OriginPolicy`` refuses where it matters.
enum DevGuard {
    /// - Parameter peer: who connected.
    /// - Returns: why the request must not be answered otherwise; nil if it may.
    static func fault(in head: HTTPRequestHead, peer: ClientAddress?, origins: OriginPolicy) -> WireError? {
        let host = head.headers.first(name: "host")
        if let host {
            guard LoopbackHost.matches(host.utf8[...]) else { return Self.otherName }
        } else {
            // Only HTTP/1.0 has none, and no browser speaks that.
            guard peer?.isLoopback == true else { return Self.otherName }
        }
        if let authority = Self.authority(head.uri), !LoopbackHost.matches(authority) { return Self.otherName }
        guard head.headers.first(name: "sec-fetch-site") == "cross-site" else { return nil }
        // localhost and 127.0.0.1 are two sites: what such a page may do, its origin says.
        if let origin = head.headers.first(name: "origin") {
            return origins.verdict(origin: origin, host: host) == .foreign ? Self.otherSite : nil
        }
        return Self.opensDevPage(head) ? nil : Self.otherSite
    }

    /// The host of a target that begins with a scheme; it counts before `Host` (RFC 9112 §3.2.2).
    private static func authority(_ uri: String) -> Substring.UTF8View? {
        guard uri.utf8.first != UInt8(ascii: "/"), let scheme = uri.firstRange(of: "://") else { return nil }
        return uri.utf8[scheme.upperBound...].prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    }

    /// Somebody followed a link to the page at `/`; it is not in a frame.
    private static func opensDevPage(_ head: HTTPRequestHead) -> Bool {
        head.method == .GET && (head.uri == "/" || head.uri.hasPrefix("/?"))
            && head.headers.first(name: "sec-fetch-mode") == "navigate"
            && head.headers.first(name: "sec-fetch-dest") == "document"
    }

    private static let otherName = WireError(
        .forbidden,
        "Dev mode answers only to localhost, *.localhost, 127.0.0.0/8 and [::1], so that no web page can reach it under a name of its own: use one of these in the URL, or run without --dev, with keys and tokens."
    )
    private static let otherSite = WireError(
        .forbidden,
        "Dev mode refuses what pages of other sites ask for: ask from a page of this machine, add the page's origin to the configuration's \"origins\", or run without --dev."
    )
}
