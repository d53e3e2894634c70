import MartletWire

/// What a token says, unchecked: only the server can.
package enum TokenClaims {
    /// `exp` of a JWT in milliseconds; nil if it has none.
    package static func expiresAtMs(_ token: String) -> Int64? {
        Self.read(token) { $0.number("exp").map { Int64(clamping: min($0, 1 << 50)) * 1_000 } }
    }

    /// The only device that it may be used for; nil if it leaves that open.
    package static func device(_ token: String) -> String? { Self.read(token) { $0.text("device") } }

    private static func read<Claim>(_ token: String, _ body: (Members) -> Claim?) -> Claim? {
        let parts = token.split(separator: ".")
        guard parts.count == 3, let payload = Base64URL.decode(parts[1].utf8) else { return nil }
        return payload.withUnsafeBytes { bytes -> Claim? in
            guard let value = try? JSON.value(in: bytes, maxDepth: 32) else { return nil }
            return body(Members(value))
        }
    }
}
