/// How the tokens of one app are checked.
package struct TokenRules: Sendable {
    /// The shared secret of HS256, 32 bytes or more.
    package var secret: [UInt8]?
    /// Public keys for ES256 and RS256, as PEM, each with a name for error messages.
    package var publicKeys: [(name: String, pem: String)] = []
    /// Where a key set is fetched.
    package var jwksURL: String?
    /// The `iss` that a token must have; nil is any.
    package var issuer: String?
    /// The `aud` that a token must have; nil takes only tokens without one.
    package var audience: String?
    /// Whether a token without `exp` is refused.
    package var requireExp = false
    /// Difference of clocks that is forgiven, in seconds.
    package var leewaySeconds = 30

    /// Shortest secret, in bytes: as long as the hash (RFC 7518 §3.2).
    package static let shortestSecret = 32

    package init() {}
}

/// Why tokens cannot be checked as they should be: a sentence for the operator.
package struct AccessError: Error, Equatable, CustomStringConvertible, Sendable {
    package var description: String
    package init(_ description: String) { self.description = description }
}
