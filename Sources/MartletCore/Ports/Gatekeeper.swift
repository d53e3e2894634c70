package import MartletWire

/// What an API key may be used for. The raw value is stored: it never changes.
package struct KeyScopes: OptionSet, Hashable, Sendable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Publishing and recalling messages.
    package static let publish = KeyScopes(rawValue: 1)
    /// Asking what became of messages; metrics.
    package static let read = KeyScopes(rawValue: 2)
    /// Managing users. Holds neither of the others.
    package static let admin = KeyScopes(rawValue: 4)
    package static let all: KeyScopes = [.publish, .read, .admin]

    private static let named: [(name: String, scope: KeyScopes)] = [
        ("publish", .publish), ("read", .read), ("admin", .admin),
    ]

    /// Reads names with commas between them, such as `publish,read`.
    ///
    /// - Returns: nil for an unknown name, or none.
    package init?(names: String) {
        self = []
        for name in names.split(separator: ",", omittingEmptySubsequences: false) {
            guard let found = Self.named.first(where: { $0.name == name.filter { $0 != " " } }) else { return nil }
            self.insert(found.scope)
        }
    }

    /// Their names, in the order publish, read, admin.
    package var names: [String] { Self.named.filter { self.contains($0.scope) }.map(\.name) }
}

/// What an API key that was shown allows.
package struct KeyGrant: Equatable, Sendable {
    package var app: AppID
    /// The key's public name: safe in logs.
    package var keyID: String
    package var scopes: KeyScopes

    package init(app: AppID, keyID: String, scopes: KeyScopes) {
        self.app = app
        self.keyID = keyID
        self.scopes = scopes
    }
}

/// Who a client token speaks for.
package struct TokenGrant: Equatable, Sendable {
    package var app: AppID
    package var user: String
    /// The only device that it may be used for; nil is any.
    package var device: String?
    /// Unix time in milliseconds.
    package var issuedAtMs: Int64?
    /// Until when it is taken, leeway included; Unix time in milliseconds.
    package var expiresAtMs: Int64?
    /// What it says of topics.
    package var rights: TopicRights

    package init(
        app: AppID, user: String, device: String?, issuedAtMs: Int64?, expiresAtMs: Int64?, rights: TopicRights = .unsaid
    ) {
        self.rights = rights
        self.app = app
        self.user = user
        self.device = device
        self.issuedAtMs = issuedAtMs
        self.expiresAtMs = expiresAtMs
    }
}

/// Says who may: checks API keys of back ends and tokens of clients.
package protocol Gatekeeper: Sendable {
    /// Checks an API key, from memory.
    ///
    /// - Parameter secret: the key as it was shown; untrusted, any length.
    /// - Returns: `unauthorized` for an unknown, revoked or expired key.
    func key(_ secret: String) -> Result<KeyGrant, WireError>

    /// Whether a key that was good is so no more: revoked, or its time is over. From memory.
    func hasEnded(_ grant: KeyGrant) -> Bool

    /// Checks a client's token (JWT, RFC 7519).
    ///
    /// - Parameters:
    ///   - text: untrusted, any length.
    ///   - done: called once; at once if all that is needed is in memory, otherwise later on any thread. `token_expired` for
    ///     a token whose time is over, `unauthorized` for any other that is not good. Does not look at revocations.
    func token(_ text: String, done: @escaping @Sendable (Result<TokenGrant, WireError>) -> Void)

    /// Whether the back end took back what was issued then. From memory.
    ///
    /// - Parameter grant: with the device that it is used for.
    func isRevoked(_ grant: TokenGrant) -> Bool

    /// Takes back the tokens of a user that were issued before a time, or do not say when.
    ///
    /// - Parameters:
    ///   - device: nil for all of the user's.
    ///   - beforeMs: Unix time in milliseconds; an earlier one than is recorded changes nothing.
    ///   - done: called on any thread, once it is on disk and in effect; an error if it is not.
    func revoke(
        app: AppID, user: String, device: String?, beforeMs: Int64, done: @escaping @Sendable (WireError?) -> Void)
}
