import MartletCore
import MartletWire

/// A token taken apart; nothing in it is believed yet (RFC 7515 §5.2, RFC 7519 §7.2).
struct ParsedToken: Sendable {
    enum Algorithm: String, Sendable {
        case hs256 = "HS256"
        case es256 = "ES256"
        case rs256 = "RS256"
    }

    var algorithm: Algorithm
    /// Which key signed it, if it says so.
    var keyID: String?
    /// What was signed.
    var signed: [UInt8]
    var signature: [UInt8]
    /// The app's name.
    var app = DefaultNames.app
    var subject: String?
    var device: String?
    var issuer: String?
    var audience: [String] = []
    /// nil if it says nothing of topics.
    var topics: TopicClaim?
    /// Unix times in milliseconds.
    var expiresAtMs: Int64?
    var notBeforeMs: Int64?
    var issuedAtMs: Int64?

    /// Longest token that is looked at, in bytes.
    static let longest = 8_192
    private static let depth = 32

    static let notAToken = WireError(.unauthorized, "This is not a token: send a JWT (RFC 7519) as Authorization: Bearer.")

    /// Untrusted: any text.
    ///
    /// - Throws: `unauthorized`.
    init(_ text: String) throws(WireError) {
        guard text.utf8.count <= Self.longest else {
            throw WireError(.unauthorized, "A token may have \(Self.longest) bytes.", limit: Self.longest)
        }
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2])
        else { throw Self.notAToken }
        self.signature = signature
        self.signed = Array(text.utf8.prefix(parts[0].count + 1 + parts[1].count))
        (self.algorithm, self.keyID) = try Self.read(header) { (members) throws(WireError) in try Self.header(members) }
        // Not in one step: `self` is whole only now.
        var claims = Claims()
        try Self.read(payload) { (members) throws(WireError) in try claims.read(members) }
        self.app = claims.app ?? DefaultNames.app
        self.subject = claims.subject
        self.device = claims.device
        self.issuer = claims.issuer
        self.audience = claims.audience
        self.topics = claims.topics
        self.expiresAtMs = claims.expiresAtMs
        self.notBeforeMs = claims.notBeforeMs
        self.issuedAtMs = claims.issuedAtMs
    }

    private typealias Members = [(key: JSONValue, value: JSONValue)]

    private static func read<Result>(
        _ bytes: [UInt8], _ body: (Members) throws(WireError) -> Result
    ) throws(WireError) -> Result {
        var result: Swift.Result<Result, WireError> = .failure(Self.notAToken)
        bytes.withUnsafeBytes { bytes in
            guard let members = try? JSON.object(in: bytes, maxDepth: Self.depth) else { return }
            do throws(WireError) { result = .success(try body(members)) } catch { result = .failure(error) }
        }
        return try result.get()
    }

    private static func header(_ members: Members) throws(WireError) -> (Algorithm, String?) {
        var name: String?
        var keyID: String?
        for (key, value) in members {
            if key.equals("alg"), name == nil, let text = value.string {
                name = text
            } else if key.equals("kid"), keyID == nil, let text = value.string {
                keyID = text
            } else if key.equals("alg") || key.equals("kid") {
                throw Self.notAToken
            } else if key.equals("crit") {
                // It names members that must be understood (RFC 7515 §4.1.11), and there is none here.
                throw WireError(.unauthorized, "The token asks for an extension (crit) that is not understood here.")
            }
        }
        guard let algorithm = name.flatMap({ Algorithm(rawValue: $0) }) else {
            throw WireError(.unauthorized, "Tokens are signed with HS256, ES256 or RS256.")
        }
        return (algorithm, keyID)
    }

    /// The claims that mean something here.
    private struct Claims {
        var app, subject, device, issuer: String?
        var audience: [String] = []
        var hasAudience = false
        var topics: TopicClaim?
        var expiresAtMs, notBeforeMs, issuedAtMs: Int64?

        mutating func read(_ members: Members) throws(WireError) {
            for (key, value) in members {
                if key.equals("sub") {
                    try Self.take(value, "sub", &self.subject)
                } else if key.equals("device") {
                    try Self.take(value, "device", &self.device)
                } else if key.equals("app") {
                    try Self.take(value, "app", &self.app)
                } else if key.equals("iss") {
                    try Self.take(value, "iss", &self.issuer)
                } else if key.equals("exp") {
                    try Self.time(value, "exp", &self.expiresAtMs)
                } else if key.equals("nbf") {
                    try Self.time(value, "nbf", &self.notBeforeMs)
                } else if key.equals("iat") {
                    try Self.time(value, "iat", &self.issuedAtMs)
                } else if key.equals("topics") {
                    guard self.topics == nil else { throw Self.bad("topics") }
                    self.topics = try TopicClaim(value)
                } else if key.equals("aud") {
                    guard !self.hasAudience else { throw Self.bad("aud") }
                    self.hasAudience = true
                    self.audience = value.string.map { [$0] } ?? value.elements.compactMap(\.string)
                    guard value.kind == .string || value.kind == .array, !self.audience.isEmpty else { throw Self.bad("aud") }
                }
            }
        }

        /// A claim that comes twice could mean one thing to the signer and another here.
        private static func take(_ value: JSONValue, _ name: String, _ claim: inout String?) throws(WireError) {
            guard claim == nil, let text = value.string else { throw Self.bad(name) }
            claim = text
        }

        /// Seconds since 1970, perhaps with a fraction (RFC 7519 §2, NumericDate).
        private static func time(_ value: JSONValue, _ name: String, _ claim: inout Int64?) throws(WireError) {
            guard claim == nil, value.kind == .number, let seconds = Double(String(decoding: value.raw, as: UTF8.self)),
                seconds >= 0, seconds < 1e11
            else { throw Self.bad(name) }
            claim = Int64(seconds * 1_000)
        }

        private static func bad(_ name: String) -> WireError {
            WireError(.unauthorized, "The token's claim \"\(name)\" is not what it must be.")
        }
    }
}

/// What is meant when nothing is said.
package enum DefaultNames {
    package static let app = "default"
}
