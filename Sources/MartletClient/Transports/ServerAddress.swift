package import Foundation

/// Where a server is: `http://host:port`, perhaps with a path before `/v1`.
package struct ServerAddress: Sendable {
    package let isTLS: Bool
    package let host: String
    package let port: Int
    private let path: String

    package init(_ url: URL) {
        let scheme = url.scheme?.lowercased() ?? "https"
        self.isTLS = scheme == "https" || scheme == "wss"
        self.host = url.host ?? ""
        self.port = url.port ?? (self.isTLS ? 443 : 80)
        var path = url.path
        while path.hasSuffix("/") { path.removeLast() }
        self.path = path
    }

    /// As the `Host` field names it.
    package var authority: String {
        let host = self.host.contains(":") ? "[\(self.host)]" : self.host
        return self.port == (self.isTLS ? 443 : 80) ? host : "\(host):\(self.port)"
    }

    /// A path with its query; items without a value are left out.
    package func target(_ path: String, _ query: [(String, String?)] = []) -> String {
        let items = query.compactMap { name, value in value.map { "\(name)=\(Self.encoded($0))" } }
        return self.path + path + (items.isEmpty ? "" : "?" + items.joined(separator: "&"))
    }

    /// The whole address of a target.
    package func url(_ target: String, webSocket: Bool = false) -> URL? {
        let scheme = webSocket ? (self.isTLS ? "wss" : "ws") : (self.isTLS ? "https" : "http")
        return URL(string: "\(scheme)://\(self.authority)\(target)")
    }

    /// Leaves letters, digits and `-._~` as they are (RFC 3986 §2.3).
    package static func encoded(_ text: String) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var output: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                output.append(byte)
            default: output += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// The path of a topic's questions and publishes. Its slashes are encoded where its last level is the name of a question.
    package static func topicPath(_ topic: String) -> String {
        let levels = topic.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { String($0) ?? "" }
        let isQuestion = levels.count > 1 && ["history", "presence", "retained"].contains(levels.last ?? "")
        return "/v1/topics/" + levels.map { Self.encoded($0) }.joined(separator: isQuestion ? "%2F" : "/")
    }

    /// The query of a session, on any of the HTTP transports.
    package func query(_ plan: SessionPlan) -> [(String, String?)] {
        // Without a name a WebSocket of the dev mode subscribes by frames.
        let isNameless = plan.token == nil && plan.user == nil && plan.device == nil
        return [
            ("user", plan.user), ("device", plan.device), ("cursor", plan.cursor),
            ("topics", plan.topics.isEmpty && !isNameless ? nil : TopicFilter.list(plan.topics)),
            ("since", plan.topics.isEmpty ? nil : plan.since?.text), ("presence", plan.presence && !plan.topics.isEmpty ? "1" : nil),
            ("from", plan.fromNow ? "now" : nil), ("hb", "visible"), ("heartbeat", "\(max(1, min(600, Int(plan.heartbeat))))"),
            ("window", plan.window.map { "\($0)" }), ("ack", plan.acks ? "explicit" : "none"),
        ]
    }
}
