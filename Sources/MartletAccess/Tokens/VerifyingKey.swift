import Crypto
import JWTKit
import MartletWire

/// One key with the only algorithm that it may check; so a public key is never taken for a shared secret.
struct VerifyingKey: Sendable {
    let algorithm: ParsedToken.Algorithm
    /// Its name in a key set.
    let keyID: String?
    private let implementation: any JWTAlgorithm

    /// JWTKit gives its algorithms away only through a collection.
    private init(_ algorithm: ParsedToken.Algorithm, _ keyID: String?, _ collection: JWTKeyCollection) async throws {
        self.algorithm = algorithm
        self.keyID = keyID
        self.implementation = try await collection.getKey(
            for: keyID.map { JWKIdentifier(string: $0) }, alg: algorithm.rawValue)
        guard self.implementation.name == algorithm.rawValue else { throw AccessError("The key is for \(self.implementation.name).") }
    }

    func verifies(_ token: ParsedToken) -> Bool {
        guard token.algorithm == self.algorithm else { return false }
        return (try? self.implementation.verify(token.signature, signs: token.signed)) ?? false
    }

    // MARK: Making them

    static func secret(_ secret: [UInt8]) async throws(AccessError) -> VerifyingKey {
        guard secret.count >= TokenRules.shortestSecret else {
            throw AccessError("The secret for tokens has \(secret.count) bytes; HS256 needs \(TokenRules.shortestSecret) or more.")
        }
        let collection = JWTKeyCollection()
        await collection.add(hmac: HMACKey(key: SymmetricKey(data: secret)), digestAlgorithm: .sha256)
        do {
            return try await VerifyingKey(.hs256, nil, collection)
        } catch {
            throw AccessError("The secret for tokens cannot be used: \(error).")
        }
    }

    static func pem(_ pem: String, name: String) async throws(AccessError) -> VerifyingKey {
        guard !pem.contains("PRIVATE KEY") else {
            throw AccessError("\(name) holds a private key; a server needs only the public one: openssl pkey -in \(name) -pubout.")
        }
        if let key = try? ES256PublicKey(pem: pem) {
            let collection = JWTKeyCollection()
            await collection.add(ecdsa: key)
            if let key = try? await VerifyingKey(.es256, nil, collection) { return key }
        }
        if let key = try? Insecure.RSA.PublicKey(pem: pem) {
            let collection = JWTKeyCollection()
            await collection.add(rsa: key, digestAlgorithm: .sha256)
            if let key = try? await VerifyingKey(.rs256, nil, collection) { return key }
        }
        throw AccessError("\(name) is no public key in PEM for ES256 (curve P-256) or RS256 (2048 bits or more).")
    }

    /// Reads a key set (RFC 7517). Untrusted: any bytes. Keys that are for something else are left out.
    ///
    /// - Throws: if there is none for RS256 or ES256 in it.
    static func set(_ bytes: [UInt8]) async throws(AccessError) -> [VerifyingKey] {
        var keys: [VerifyingKey] = []
        for entry in Self.entries(bytes) {
            if let key = await Self.key(entry) { keys.append(key) }
        }
        guard !keys.isEmpty else { throw AccessError("there is no key for RS256 or ES256 in it") }
        return keys
    }

    /// Keys of a set that are looked at.
    private static let setLimit = 64

    private static func entries(_ bytes: [UInt8]) -> [[String: String]] {
        bytes.withUnsafeBytes { bytes in
            let members = (try? JSON.object(in: bytes, maxDepth: 16)) ?? []
            let keys = members.first { $0.key.equals("keys") }?.value.elements ?? []
            return keys.prefix(Self.setLimit).map { key in
                Dictionary(
                    key.members.compactMap { member in
                        member.key.string.flatMap { name in member.value.string.map { (name, $0) } }
                    }, uniquingKeysWith: { $1 })
            }
        }
    }

    private static func key(_ entry: [String: String]) async -> VerifyingKey? {
        guard ["sig", nil].contains(entry["use"]) else { return nil }
        // JWTKit takes none without a name.
        let identifier = JWKIdentifier(string: entry["kid"] ?? "")
        let jwk: JWK
        let algorithm: ParsedToken.Algorithm
        switch (entry["kty"], entry["alg"], entry["crv"]) {
        case ("RSA", "RS256", _), ("RSA", nil, _):
            algorithm = .rs256
            jwk = .rsa(.rs256, identifier: identifier, modulus: entry["n"], exponent: entry["e"])
        case ("EC", "ES256", "P-256"), ("EC", nil, "P-256"):
            algorithm = .es256
            jwk = .ecdsa(.es256, identifier: identifier, x: entry["x"], y: entry["y"], curve: .p256)
        default: return nil
        }
        let collection = JWTKeyCollection()
        guard (try? await collection.add(jwk: jwk)) != nil else { return nil }
        return try? await VerifyingKey(algorithm, entry["kid"], collection)
    }
}
