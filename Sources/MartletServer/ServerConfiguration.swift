package import Logging
package import MartletBridge
package import MartletCore
package import MartletHTTP
package import MartletStoreSQLite

/// What `martlet serve` is told.
package struct ServerConfiguration: Sendable {
    /// Where to listen. Default `127.0.0.1:8080`; port 0 takes any free one.
    package var host = "127.0.0.1"
    package var port = 8_080
    /// The folder of the store.
    package var dataFolder = "martlet-data"
    package var durability = Durability.full
    /// Time that sessions get to leave on SIGTERM, in seconds. Default 10.
    package var drainSeconds = 10
    package var isDev = false
    package var limits = Limits()
    package var logLevel = Logger.Level.info
    /// Lines for people, or one JSON object a line.
    package var logFormat = LogFormat.text
    /// nil: plain HTTP.
    package var tls: TLSFiles?
    /// Networks in CIDR notation whose word on a client's address is taken (PROXY protocol, `X-Forwarded-For`).
    package var trustedProxies: [String] = []
    /// Whether a connection from a trusted proxy begins with a PROXY protocol header.
    package var proxyProtocol = false
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    package var http2 = true
    package var webSocketDeflate = DeflateSettings()
    package var mqtt = MQTTOptions()
    package var grpc = GRPCOptions()
    /// Origins of pages that may use the API, such as `https://example.com`; the server's own always may. `*` is all.
    package var origins: [String] = []
    /// Whether `/metrics` needs no key.
    package var metricsOpen = false
    /// By name; `default` is always among them.
    package var apps: [String: AppOptions] = ["default": AppOptions()]

    /// What topics do whose namespace says nothing else.
    package var topics = TopicOptions()
    /// What is set for namespaces, by their name: the first level of a topic's.
    package var namespaces: [String: TopicOptionsChange] = [:]

    /// Hosts that bridges may poll.
    package var bridgeHosts: [String] = []
    /// By name.
    package var bridges: [String: BridgeOptions] = [:]

    package enum LogFormat: String, CaseIterable, Sendable { case text, json }

    /// PEM files of a listener.
    package struct TLSFiles: Equatable, Sendable {
        /// The certificate, followed by those that vouch for it.
        package var certificate: String
        package var key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// What is set for one app.
    package struct AppOptions: Equatable, Sendable {
        package var tokens = TokenOptions()
        /// Open connections of all its users; 0 is any number.
        package var connections = 0
        /// Messages that all its keys may publish in a second; 0 is any number.
        package var publishRate = 0

        package init() {}
    }

    /// How an app's client tokens (JWT) are checked. With none of the first three no token is accepted.
    package struct TokenOptions: Equatable, Sendable {
        /// The shared secret of HS256, 32 bytes or more. Never printed.
        package var secret: String?
        /// Where the secret was read, if it was read from a file.
        package var secretFile: String?
        /// PEM files with public keys for ES256 and RS256.
        package var publicKeys: [String] = []
        /// Where the key set is fetched.
        package var jwksURL: String?
        /// The `iss` that a token must have.
        package var issuer: String?
        /// The `aud` that a token must have.
        package var audience: String?
        /// Whether a token must have an `exp`.
        package var requireExp = false
        /// Difference of clocks that is forgiven in `exp`, `nbf` and `iat`, in seconds.
        package var leewaySeconds = 30

        package init() {}
    }

    package init() {}

    /// What is set for a bridge; the defaults for one that is not named.
    package func bridge(_ name: String) -> BridgeOptions { self.bridges[name] ?? BridgeOptions() }

    /// The names of the durabilities: `full` (flushed to disk), `normal` (written), `memory` (neither is waited for).
    package static let durabilities = Durability.allCases.map(\.rawValue)

    /// Whether the address can only be reached from this machine.
    package static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    /// Splits `HOST:PORT` or `[IPV6]:PORT`.
    ///
    /// - Returns: nil if it is neither.
    package static func address(_ text: String) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : (String(host), Int(port))
    }
}
