package import Logging
package import MartletCore
import NIOSSL

/// What stands between the socket and the requests: TLS, the count of connections, trusted proxies, publish rates.
package final class HTTPEdge: Sendable {
    package let gate: ConnectionGate
    /// nil: plain HTTP.
    package let tls: TLSCertificate?
    let trusted: TrustedProxies
    /// Whether a connection begins with a PROXY protocol header, and comes from a trusted proxy.
    let proxyProtocol: Bool
    let publishes: PublishLimiter

    /// - Parameters:
    ///   - openFiles: what the process may have open (`RLIMIT_NOFILE`).
    ///   - tls: nil for plain HTTP.
    ///   - trustedProxies: networks in CIDR notation.
    ///   - appPublishRate: messages that all keys of an app may publish in a second; 0 is any number. Called with each request.
    /// - Throws: ``EdgeError`` with a sentence for the operator.
    package init(
        limits: Limits, openFiles: Int, tls: TLSCertificate? = nil, trustedProxies: [String] = [], proxyProtocol: Bool = false,
        appPublishRate: @escaping @Sendable (AppID) -> Int = { _ in 0 }, logger: Logger
    ) throws(EdgeError) {
        self.gate = ConnectionGate(limits: limits, openFiles: openFiles, logger: logger)
        self.tls = tls
        self.trusted = try TrustedProxies(trustedProxies)
        self.proxyProtocol = proxyProtocol
        self.publishes = PublishLimiter(limits, appRate: appPublishRate)
        guard !proxyProtocol || !self.trusted.isEmpty else {
            throw EdgeError("With the PROXY protocol on, name the proxies that speak it: set the trusted proxies.")
        }
    }
}
