import MartletWire

/// What a token says, unchecked: only the server can.
package enum TokenClaims {
    /// `exp` of a JWT in milliseconds; nil if it has none.
    package static func expiresAtMs(_ token: String) -> Int64? {
        let parts = token.split(separator: ".")
        guard parts.count == 3, let payload = Base64URL.decode(parts[1].utf8) else { return nil }
        return payload.withUnsafeBytes { bytes -> Int64? in
            guard let value = try? JSON.value(in: bytes, maxDepth: 32) else { return nil }
            return Members(value).number("exp").map { Int64(clamping: min($0, 1 << 50)) * 1_000 }
        }
    }
}
