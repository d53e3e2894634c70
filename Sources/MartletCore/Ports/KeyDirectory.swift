/// One API key as it is kept: its secret only as a hash.
package struct KeyRecord: Equatable, Sendable {
    /// The public name.
    package var id: String
    package var app: AppID
    /// What people call it; may be empty.
    package var name: String
    package var scopes: KeyScopes
    /// SHA-256 of the secret.
    package var hash: [UInt8]
    /// Unix times in milliseconds; nil for never.
    package var createdAtMs: Int64
    package var expiresAtMs: Int64?
    package var revokedAtMs: Int64?

    package init(
        id: String, app: AppID, name: String, scopes: KeyScopes, hash: [UInt8], createdAtMs: Int64, expiresAtMs: Int64?,
        revokedAtMs: Int64? = nil
    ) {
        self.id = id
        self.app = app
        self.name = name
        self.scopes = scopes
        self.hash = hash
        self.createdAtMs = createdAtMs
        self.expiresAtMs = expiresAtMs
        self.revokedAtMs = revokedAtMs
    }
}

/// Apps, API keys and revocations: kept on disk, answered from memory, changed from outside while the server runs.
package protocol KeyDirectory: Sendable {
    /// A key by its public name. An unknown one is looked for on disk, now and then.
    func key(_ id: String) -> KeyRecord?

    /// An app by its name.
    func app(_ name: String) -> AppID?

    /// Before which time tokens for this user and device are refused; Unix time in milliseconds, nil if there is none.
    ///
    /// - Parameter device: nil for a token that is used without one.
    func revokedBefore(app: AppID, user: String, device: String?) -> Int64?

    /// Records a revocation. See ``Gatekeeper/revoke(app:user:device:beforeMs:done:)``.
    func revoke(app: AppID, user: String, device: String?, beforeMs: Int64, done: @escaping @Sendable (StoreError?) -> Void)
}
