package import MartletCore

/// What the configuration says of one bridge.
package struct BridgeOptions: Equatable, Sendable {
    /// Who may ask at ``path``.
    package enum Access: String, CaseIterable, Sendable {
        /// Who shows a token (or a key) that allows the topic, or is the user.
        case token
        /// Everybody.
        case `public`
    }

    /// The URL; with `{user}` one for each user.
    package var url = ""
    /// The topic that the answers go to.
    package var topic: String?
    /// The type of the messages that users get.
    package var type: String?
    /// Where those who still poll find the answer.
    package var path: String?
    package var app = "default"
    package var access = Access.token
    /// The header that names the user to the URL's server.
    package var userHeader: String?
    /// A file with what is sent as `Authorization`.
    package var authorizationFile: String?
    /// What it holds. Never printed.
    package var authorization: String?
    /// Bytes of an answer.
    package var maxBytes = 32_768
    package var timeoutMs: Int64 = 5_000
    package var plan = PollPlan()

    package init() {}

    /// Whether each user has an answer of their own.
    package var isPerUser: Bool { self.topic == nil }

    /// The paths that are Martlet's own, by their first level.
    private static let reserved: Set<String> = [
        "", "v1", "v2", "ramen", "healthz", "readyz", "metrics", "openapi.yaml", "dev", "console", "martlet.js", "mqtt", "favicon.ico",
    ]

    /// Header fields that are the client's business or the connection's.
    private static let unfitHeaders: Set<String> = [
        "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "authorization", "cookie",
        "accept-encoding",
        "if-none-match", "if-modified-since",
    ]

    /// All that is wrong, each with the option that it is about and the end of a sentence that begins with the option's name.
    package func problems(_ limits: Limits, hosts: HostList) -> [(option: String, text: String)] {
        var problems: [(option: String, text: String)] = []
        func refuse(_ option: String, _ text: String) { problems.append((option, text)) }
        if self.url.isEmpty {
            refuse("url", "is missing: say what is polled, such as https://api.example.com/scores")
        } else if let url = BridgeURL(self.url) {
            if !hosts.allows(url) {
                refuse(
                    "url",
                    "is on a host that bridge.allowedHosts does not name: add \(url.hostText)\([80, 443].contains(url.port) ? "" : ":\(url.port)")")
            }
            if !self.isPerUser, url.isTemplate { refuse("url", "has {user}, so that each user gets an answer: set type instead of topic") }
        } else {
            refuse("url", "must be an http:// or https:// URL in ASCII without user name, password and fragment")
        }
        switch (self.topic, self.type) {
        case (nil, nil): refuse("url", "is polled for nobody: set topic, or type if each user has an answer of their own")
        case (let topic?, _):
            if let problem = topicProblem(topic, limits, wildcards: false) { refuse("topic", problem.description) }
            if self.userHeader != nil { refuse("userHeader", "goes with type: a topic has the same answer for everybody") }
            fallthrough
        case (nil, _?):
            if let type = self.type, let problem = nameProblem(type, limit: limits.nameBytes) { refuse("type", problem) }
        }
        if self.isPerUser, self.type != nil, !self.url.contains(BridgeURL.user), self.userHeader == nil {
            refuse("type", "is for an answer of each user's own: put {user} into the url, or set userHeader")
        }
        if let header = self.userHeader, !Self.isHeaderName(header) || Self.unfitHeaders.contains(header.lowercased()) {
            refuse("userHeader", "must be the name of a header field such as X-User")
        }
        if let path = self.path, let problem = Self.pathProblem(path) { refuse("path", problem) }
        if self.access == .public {
            if self.isPerUser { refuse("access", "cannot be public: each user has an answer of their own") }
            if self.path == nil { refuse("access", "is about path, which is not set") }
        }
        if self.maxBytes > limits.messageBytes { refuse("maxBytes", "may not be larger than limits.messageBytes") }
        return problems
    }

    private static func pathProblem(_ path: String) -> String? {
        let isPlain = path.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
        guard path.hasPrefix("/"), isPlain, path.utf8.count <= 512 else { return "must begin with / and have letters, digits, - . _ ~ and / only" }
        let levels = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        if levels.contains(where: { $0 == "." || $0 == ".." }) { return "must not hold . or .. as a level" }
        if self.reserved.contains(String(levels.first ?? "")) { return "is one of Martlet's own: choose another first level, such as /feed" }
        return nil
    }

    /// RFC 9110 §5.6.2.
    private static func isHeaderName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}
