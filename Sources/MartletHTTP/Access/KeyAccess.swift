import HTTPTypes
import MartletCore
import MartletWire
import NIOHTTP1

/// What back ends are asked for: an API key with the right scope.
struct KeyAccess {
    /// The header fields of a request that say who sends it.
    struct Shown {
        var authorization: String?
        var apiKey: String?
        var origin: String?
        var host: String?

        /// Whether it shows an API key, where a client's token would do too.
        ///
        /// - Throws: `unauthorized` for another scheme than Bearer.
        func isKey() throws(WireError) -> Bool {
            if self.apiKey != nil { return true }
            return try Bearer.token(self.authorization)?.hasPrefix("mk_") == true
        }

        init(_ headers: HTTPHeaders) {
            self.authorization = headers.first(name: "authorization")
            self.apiKey = headers.first(name: "x-api-key")
            self.origin = headers.first(name: "origin")
            self.host = headers.first(name: "host")
        }

        init(_ request: HTTPRequest) {
            self.authorization = request.headerFields[.authorization]
            self.apiKey = HTTPField.Name("x-api-key").flatMap { request.headerFields[$0] }
            self.origin = request.headerFields[.origin]
            self.host = request.authority
        }
    }

    /// What dev mode allows without a key.
    private static let dev = KeyGrant(app: .dev, keyID: "dev", scopes: .all)

    /// - Throws: `unauthorized` without a good key, `forbidden` without the scope.
    static func grant(_ scope: KeyScopes, _ shown: Shown, _ services: HTTPServices) throws(WireError) -> KeyGrant {
        let grant: KeyGrant
        if let key = try Bearer.token(shown.authorization) ?? shown.apiKey {
            grant = try services.gatekeeper.key(key).get()
        } else {
            guard services.isDev else {
                throw WireError(
                    .unauthorized, "This needs an API key: send it as Authorization: Bearer mk_… (martlet key create makes one).")
            }
            try Bearer.refuseForeign(shown.origin, host: shown.host, services, isCookie: false)
            grant = Self.dev
        }
        guard grant.scopes.contains(scope) else {
            let name = scope.names.joined(separator: ",")
            throw WireError(.forbidden, "This API key lacks the scope \(name): create one with --scope \(name).")
        }
        return grant
    }
}

/// What keys and tokens have in common.
enum Bearer {
    /// The credential of an `Authorization` header (RFC 6750 §2.1).
    ///
    /// - Throws: `unauthorized` for another scheme.
    static func token(_ authorization: String?) throws(WireError) -> String? {
        guard let authorization else { return nil }
        let parts = authorization.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw WireError(.unauthorized, "Send it as Authorization: Bearer, a space, and the key or token.")
        }
        return String(parts[1].drop { $0 == " " })
    }

    /// Refuses a page of elsewhere that shows nothing but what its user's browser sends by itself.
    static func refuseForeign(
        _ origin: String?, host: String?, _ services: HTTPServices, isCookie: Bool
    ) throws(WireError) {
        switch services.origins.verdict(origin: origin, host: host) {
        case .own, .listed: break
        case .anyone where !isCookie: break
        case .anyone, .foreign: throw Self.foreign
        }
    }

    static let foreign = WireError(
        .forbidden, "Pages of this origin may not use this server: add the origin to the configuration's \"origins\".")
}
