import NIOHTTP1

/// Tells whether a request that shows nothing but a cookie may count: browsers send cookies whatever page asks.
///
/// `Origin` says which page it is, but images, frames and links have none; `Sec-Fetch-Site` (W3C Fetch Metadata), which no page
/// can set, tells of those.
enum CookieGuard {
    /// - Parameter headers: untrusted; but what a browser says of itself, a page cannot change.
    static func allows(_ method: HTTPMethod, _ headers: HTTPHeaders, _ origins: OriginPolicy) -> Bool {
        let origin = headers.first(name: "origin")
        let verdict = origins.verdict(origin: origin, host: headers.first(name: "host"))
        switch headers.first(name: "sec-fetch-site") {
        // No browser, or one of before 2023: only the origin says.
        case nil, "same-origin": return verdict == .own || verdict == .listed
        // The user typed it, or opened a bookmark; no page can bring that about. Nobody types a POST.
        case "none": return method == .GET && origin == nil
        // A page of elsewhere, be it of another port or of a sister's name: only by an origin that was named.
        default: return origin != nil && verdict == .listed
        }
    }
}
