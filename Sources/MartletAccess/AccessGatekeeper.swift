package import AsyncHTTPClient
package import Logging
package import MartletCore
package import MartletWire

/// Checks API keys against a directory, and tokens against the rules of the app that they name.
package final class AccessGatekeeper: Gatekeeper {
    private let directory: any KeyDirectory
    private let tokens: [String: TokenVerifier]
    private let sources: [KeySetSource]
    private let cache: TokenCache
    /// Unix time in milliseconds.
    private let wall: @Sendable () -> Int64

    private init(
        _ directory: any KeyDirectory, _ tokens: [String: TokenVerifier], _ sources: [KeySetSource], _ cache: TokenCache,
        _ wall: @escaping @Sendable () -> Int64
    ) {
        self.directory = directory
        self.tokens = tokens
        self.sources = sources
        self.cache = cache
        self.wall = wall
    }

    /// Reads the keys that are at hand; those at a URL come with ``run()``.
    ///
    /// - Parameters:
    ///   - rules: by the app's name.
    ///   - limits: of names, topics and patterns.
    ///   - http: called once if there is a URL to fetch.
    ///   - wall: Unix time in milliseconds.
    /// - Throws: one sentence for the operator if a key cannot be used.
    package static func make(
        directory: any KeyDirectory, rules: [String: TokenRules], limits: Limits, schedule: KeySetSource.Schedule = .init(),
        http: () -> HTTPClient, wall: @escaping @Sendable () -> Int64, logger: Logger
    ) async throws(AccessError) -> AccessGatekeeper {
        let cache = TokenCache()
        var verifiers: [String: TokenVerifier] = [:]
        var sources: [KeySetSource] = []
        let client = rules.values.contains { $0.jwksURL != nil } ? http() : nil
        for (app, rules) in rules {
            var source: KeySetSource?
            if let url = rules.jwksURL, let client {
                source = KeySetSource(url: url, http: client, schedule: schedule, logger: logger) { cache.clear() }
            }
            if let source { sources.append(source) }
            do throws(AccessError) {
                let verifier = try await TokenVerifier(rules, fetched: source, limits: limits)
                if verifier.hasKeys { verifiers[app] = verifier }
            } catch {
                throw AccessError("App \(app): \(error)")
            }
        }
        return AccessGatekeeper(directory, verifiers, sources, cache, wall)
    }

    /// Fetches key sets until it is cancelled.
    package func run() async {
        await withTaskGroup { group in
            for source in self.sources { group.addTask { await source.run() } }
        }
    }

    // MARK: Keys

    private static let badKey = WireError(
        .unauthorized, "This API key is not known here: check it, or create one with martlet key create.")

    package func key(_ secret: String) -> Result<KeyGrant, WireError> {
        guard let key = APIKey(secret) else {
            return .failure(
                secret.hasPrefix("eyJ")
                    ? WireError(.unauthorized, "This is a client's token; this path takes an API key (mk_…).")
                    : WireError(.unauthorized, "This is not an API key: they look like mk_…, and martlet key create makes one."))
        }
        guard let record = self.directory.key(key.id), key.matches(record.hash) else { return .failure(Self.badKey) }
        guard record.revokedAtMs == nil else {
            return .failure(WireError(.unauthorized, "This API key was revoked: create another with martlet key create."))
        }
        if let expires = record.expiresAtMs, expires <= self.wall() {
            return .failure(WireError(.unauthorized, "This API key's time is over: create another with martlet key create."))
        }
        return .success(KeyGrant(app: record.app, keyID: record.id, scopes: record.scopes))
    }

    package func hasEnded(_ grant: KeyGrant) -> Bool {
        guard let record = self.directory.key(grant.keyID), record.revokedAtMs == nil else { return true }
        return record.expiresAtMs.map { $0 <= self.wall() } ?? false
    }

    // MARK: Tokens

    package func token(_ text: String, done: @escaping @Sendable (Result<TokenGrant, WireError>) -> Void) {
        if text.hasPrefix(APIKey.prefix) {
            return done(.failure(WireError(.unauthorized, "This is an API key; clients connect with a token.")))
        }
        let now = self.wall()
        let digest = TokenCache.digest(text)
        if let grant = self.cache.grant(digest) {
            return done(Self.expiry(of: grant, now: now).map { .failure($0) } ?? .success(grant))
        }
        do throws(WireError) {
            let token = try ParsedToken(text)
            guard let app = self.directory.app(token.app), let verifier = self.tokens[token.app] else {
                throw WireError(.unauthorized, "No tokens are taken for the app that this token names.")
            }
            verifier.verify(token, app: app, now: now) { result in
                if case .success(let grant) = result { self.cache.keep(grant, digest) }
                done(result)
            }
        } catch {
            done(.failure(error))
        }
    }

    private static func expiry(of grant: TokenGrant, now: Int64) -> WireError? {
        guard let expires = grant.expiresAtMs, expires <= now else { return nil }
        return TokenVerifier.expired
    }

    // MARK: Revocations

    package func isRevoked(_ grant: TokenGrant) -> Bool {
        guard let before = self.directory.revokedBefore(app: grant.app, user: grant.user, device: grant.device) else { return false }
        return grant.issuedAtMs.map { $0 < before } ?? true
    }

    package func revoke(
        app: AppID, user: String, device: String?, beforeMs: Int64, done: @escaping @Sendable (WireError?) -> Void
    ) {
        self.directory.revoke(app: app, user: user, device: device, beforeMs: beforeMs) { error in
            done(
                error.map { _ in
                    WireError(.storeUnavailable, "Nothing was taken back, because the store cannot be written now: try again in a moment.")
                })
        }
    }
}
