import NIOHTTP1

/// What a request asks for.
extension FrontHandler {
    static func path(of head: HTTPRequestHead) -> Substring { self.target(head.uri).cut(at: "?").head }

    static func route(of head: HTTPRequestHead) -> Route { Route(path: self.path(of: head)) }

    /// Without the scheme and host that a client may put before the path (RFC 9112 §3.2.2).
    static func target(_ uri: String) -> Substring {
        guard uri.utf8.first != UInt8(ascii: "/"), let scheme = ["http://", "https://"].first(where: { uri.hasPrefix($0) }) else { return uri[...] }
        let rest = uri.dropFirst(scheme.count)
        return rest.firstIndex { $0 == "/" || $0 == "?" }.map { rest[$0...] } ?? "/"
    }
}
