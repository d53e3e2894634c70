package import Logging
package import MartletCore

/// What stands between the sockets and the adapters, shared by all listeners: the count of connections, TLS, trusted proxies.
package final class NetEdge: Sendable {
    package let gate: ConnectionGate
    /// nil: there is no certificate.
    package let tls: TLSCertificate?
    package let trusted: TrustedProxies
    /// Whether a connection begins with a PROXY protocol header, and comes from a trusted proxy.
    package let proxyProtocol: Bool

    /// - Parameters:
    ///   - openFiles: what the process may have open (`RLIMIT_NOFILE`).
    ///   - tls: nil without a certificate.
    ///   - trustedProxies: networks in CIDR notation.
    /// - Throws: ``EdgeError`` with a sentence for the operator.
    package init(
        limits: Limits, openFiles: Int, tls: TLSCertificate? = nil, trustedProxies: [String] = [], proxyProtocol: Bool = false, logger: Logger
    ) throws(EdgeError) {
        self.gate = ConnectionGate(limits: limits, openFiles: openFiles, logger: logger)
        self.tls = tls
        self.trusted = try TrustedProxies(trustedProxies)
        self.proxyProtocol = proxyProtocol
        guard !proxyProtocol || !self.trusted.isEmpty else {
            throw EdgeError("With the PROXY protocol on, name the proxies that speak it: set the trusted proxies.")
        }
    }
}
