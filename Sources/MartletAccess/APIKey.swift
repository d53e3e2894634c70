import Crypto
import MartletWire

/// The text of an API key: `mk_<id>_<secret>`. The id is public, the secret is 32 random bytes as base64url.
package struct APIKey: Sendable {
    package let id: String
    package let secret: String

    package static let prefix = "mk_"
    /// Longest text that is looked at, in bytes.
    private static let longest = 128
    /// Letters and digits that nobody mistakes for others.
    private static let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789")

    /// A new key.
    package init() {
        var random = SystemRandomNumberGenerator()
        self.id = String((0..<12).map { _ in Self.alphabet[Int.random(in: 0..<32, using: &random)] })
        var secret: [UInt8] = []
        Base64URL.encode((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) }, into: &secret)
        self.secret = String(decoding: secret, as: UTF8.self)
    }

    /// Reads a key. Untrusted: any text.
    ///
    /// - Returns: nil if it does not look like one.
    package init?(_ text: String) {
        guard text.utf8.count <= Self.longest, text.hasPrefix(Self.prefix) else { return nil }
        let parts = text.dropFirst(Self.prefix.count).split(separator: "_", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.id = String(parts[0])
        self.secret = String(parts[1])
    }

    package var text: String { "\(Self.prefix)\(self.id)_\(self.secret)" }

    /// What is kept of it: SHA-256 of the secret.
    package var hash: [UInt8] { Array(SHA256.hash(data: Array(self.secret.utf8))) }

    /// Compares the hash in a time that does not depend on where they differ.
    package func matches(_ hash: [UInt8]) -> Bool {
        let own = self.hash
        guard own.count == hash.count else { return false }
        var difference: UInt8 = 0
        for (left, right) in zip(own, hash) { difference |= left ^ right }
        return difference == 0
    }
}
