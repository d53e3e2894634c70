import Crypto
import JWTKit
package import MartletCore
import MartletWire

/// Makes tokens, for trying; a back end makes its own with a JWT library.
package enum TokenMaker {
    /// What signs.
    package enum Signer: Sendable {
        /// HS256, 32 bytes or more.
        case secret([UInt8])
        /// ES256: a private key in PEM.
        case privateKey(pem: String)
    }

    /// What the token says; times are Unix times in seconds.
    package struct Claims: Sendable {
        package var user: String
        package var device: String?
        package var app: String?
        package var issuer: String?
        package var audience: String?
        /// The claim `topics`; nil leaves it out.
        package var topics: [TopicRights.Rule]?
        package var issuedAt: Int64
        package var expiresAt: Int64

        package init(user: String, issuedAt: Int64, expiresAt: Int64) {
            self.user = user
            self.issuedAt = issuedAt
            self.expiresAt = expiresAt
        }

        var json: [UInt8] {
            var output = Array(#"{"sub":"#.utf8)
            JSON.append(self.user, to: &output)
            for (name, value) in [("device", self.device), ("app", self.app), ("iss", self.issuer), ("aud", self.audience)] {
                guard let value else { continue }
                output += Array(#","\#(name)":"#.utf8)
                JSON.append(value, to: &output)
            }
            if let topics = self.topics { Self.append(topics, to: &output) }
            return output + Array(#","iat":\#(self.issuedAt),"exp":\#(self.expiresAt)}"#.utf8)
        }

        /// A pattern that comes twice is written once, with all its actions.
        private static func append(_ rules: [TopicRights.Rule], to output: inout [UInt8]) {
            var merged: [TopicRights.Rule] = []
            for rule in rules {
                if let index = merged.firstIndex(where: { $0.pattern == rule.pattern }) {
                    merged[index].actions.formUnion(rule.actions)
                } else {
                    merged.append(rule)
                }
            }
            output += Array(#","topics":{"#.utf8)
            for (index, rule) in merged.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.append(rule.pattern.text, to: &output)
                output += Array(":[\(rule.actions.names.map { "\"\($0)\"" }.joined(separator: ","))]".utf8)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    /// - Throws: one sentence for whoever gave the key.
    package static func token(_ claims: Claims, _ signer: Signer) async throws(AccessError) -> String {
        let collection = JWTKeyCollection()
        switch signer {
        case .secret(let secret):
            guard secret.count >= TokenRules.shortestSecret else {
                throw AccessError("The secret has \(secret.count) bytes; HS256 needs \(TokenRules.shortestSecret) or more: openssl rand -hex 32.")
            }
            await collection.add(hmac: HMACKey(key: SymmetricKey(data: secret)), digestAlgorithm: .sha256)
        case .privateKey(let pem):
            guard let key = try? ES256PrivateKey(pem: pem) else {
                throw AccessError("The file holds no private key in PEM for ES256: openssl ecparam -genkey -name prime256v1 -noout.")
            }
            await collection.add(ecdsa: key)
        }
        do {
            let algorithm = try await collection.getKey()
            var text: [UInt8] = []
            Base64URL.encode(Array(#"{"alg":"\#(algorithm.name)","typ":"JWT"}"#.utf8), into: &text)
            text.append(UInt8(ascii: "."))
            Base64URL.encode(claims.json, into: &text)
            let signature = try algorithm.sign(text)
            text.append(UInt8(ascii: "."))
            Base64URL.encode(signature, into: &text)
            return String(decoding: text, as: UTF8.self)
        } catch {
            throw AccessError("The token cannot be signed: \(error).")
        }
    }
}
