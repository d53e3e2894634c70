import MartletCore
import MartletWire

/// Checks the tokens of one app.
package final class TokenVerifier: Sendable {
    private let fixed: [VerifyingKey]
    private let fetched: KeySetSource?
    private let rules: TokenRules
    private let limits: Limits

    static let expired = WireError(.tokenExpired, "The token's time is over: get a new one and connect again.")
    private static let badSignature = WireError(.unauthorized, "The token's signature is not good for this app.")

    /// - Throws: one sentence for the operator if a key cannot be used.
    init(_ rules: TokenRules, fetched: KeySetSource?, limits: Limits) async throws(AccessError) {
        var keys: [VerifyingKey] = []
        if let secret = rules.secret { keys.append(try await .secret(secret)) }
        for key in rules.publicKeys { keys.append(try await .pem(key.pem, name: key.name)) }
        self.fixed = keys
        self.fetched = fetched
        self.rules = rules
        self.limits = limits
    }

    /// Whether any token can be good.
    var hasKeys: Bool { !self.fixed.isEmpty || self.fetched != nil }

    /// - Parameters:
    ///   - now: Unix time in milliseconds.
    ///   - done: called at once, unless the token names a key that must be fetched first.
    func verify(
        _ token: ParsedToken, app: AppID, now: Int64, done: @escaping @Sendable (Result<TokenGrant, WireError>) -> Void
    ) {
        let finish: @Sendable () -> Void = {
            do throws(WireError) { done(.success(try self.grant(token, app: app, now: now))) } catch { done(.failure(error)) }
        }
        if self.fixed.contains(where: { $0.verifies(token) }) { return finish() }
        guard let fetched = self.fetched, token.algorithm != .hs256 else { return done(.failure(Self.badSignature)) }
        fetched.withKeys(for: token) { keys in
            guard let keys else {
                done(.failure(WireError(.keysUnavailable, "The keys that check tokens could not be fetched yet: try again in a moment.")))
                return
            }
            if keys.contains(where: { $0.verifies(token) }) { finish() } else { done(.failure(Self.badSignature)) }
        }
    }

    /// The signature is good: what does the token say?
    private func grant(_ token: ParsedToken, app: AppID, now: Int64) throws(WireError) -> TokenGrant {
        let leeway = Int64(self.rules.leewaySeconds) * 1_000
        let expires = token.expiresAtMs.map { $0 + leeway }
        if let expires, expires <= now { throw Self.expired }
        if expires == nil, self.rules.requireExp {
            throw WireError(.unauthorized, "The token does not say when it ends (exp), and this server takes none that never ends.")
        }
        if let notBefore = token.notBeforeMs, notBefore > now + leeway {
            throw WireError(.unauthorized, "The token is not valid yet.")
        }
        if let issued = token.issuedAtMs, issued > now + leeway {
            throw WireError(.unauthorized, "The token says that it was issued in the future: compare the clocks.")
        }
        if let issuer = self.rules.issuer, token.issuer != issuer {
            throw WireError(.unauthorized, "The token is not of the issuer (iss) that is trusted here.")
        }
        // RFC 7519 §4.1.3: who does not find itself in the audience must refuse.
        if let audience = self.rules.audience {
            guard token.audience.contains(audience) else {
                throw WireError(.unauthorized, "The token is not for this audience (aud).")
            }
        } else if !token.audience.isEmpty {
            throw WireError(.unauthorized, "The token is for an audience (aud), and none is configured here.")
        }
        guard let user = token.subject else {
            throw WireError(.unauthorized, "The token does not say who it is for (sub).")
        }
        for (claim, name) in [("sub", user), ("device", token.device)] {
            if let name, let problem = nameProblem(name, limit: self.limits.nameBytes) {
                throw WireError(.unauthorized, "The token's \"\(claim)\" \(problem).", limit: self.limits.nameBytes)
            }
        }
        return TokenGrant(
            app: app, user: user, device: token.device, issuedAtMs: token.issuedAtMs, expiresAtMs: expires,
            rights: try token.topics?.rights(self.limits) ?? .unsaid)
    }
}
