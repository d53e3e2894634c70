import MartletAccess
import MartletCore
import MartletWire
import Synchronization
import Testing

@Suite struct TokenTests {
    private static let now = 1_700_000_000

    @Test("The claims come out as they went in, with the leeway in the end")
    func claims() async throws {
        let gate = try await Gate()
        let text = try await Gate.signed(#"{"sub":"al\u0069ce","device":"a1","iat":1699999999,"exp":1700000600.5,"more":[{}]}"#)
        let grant = try #require(gate.token(text)).get()
        #expect(
            grant
                == TokenGrant(
                    app: AppID(1), user: "alice", device: "a1", issuedAtMs: 1_699_999_999_000, expiresAtMs: 1_700_000_610_500))
        await gate.service.stop()
    }

    @Test("A token that was good is answered from memory, and ends in time there too")
    func remembered() async throws {
        let gate = try await Gate()
        let text = try await Gate.signed(#"{"sub":"alice","exp":1700000060}"#)
        for _ in 0..<3 { #expect(gate.code(text) == nil) }
        gate.clock.advance(seconds: 69)
        #expect(gate.code(text) == nil)
        gate.clock.advance(seconds: 1)
        #expect(gate.code(text) == .tokenExpired)
        // The same words with another end of the signature are another token.
        #expect(gate.code(String(text.dropLast())) == .unauthorized)
        await gate.service.stop()
    }

    @Test(
        "A payload that leaves a doubt is refused",
        arguments: [
            #"{}"#, #"{"sub":7}"#, #"{"sub":""}"#, #"{"sub":"a","sub":"b"}"#, #"{"sub":"a","s\u0075b":"b"}"#,
            #"{"sub":"a","exp":"1700000600"}"#, #"{"sub":"a","exp":-1}"#, #"{"sub":"a","exp":1e400}"#, #"{"sub":"a","exp":null}"#,
            #"{"sub":"a","exp":1700000600,"exp":1}"#, #"{"sub":"a","nbf":1700000011}"#, #"{"sub":"a","iat":1700000011}"#,
            #"{"sub":"a","app":"acme"}"#, #"{"sub":"a","app":"nobody"}"#, #"{"sub":"a","app":1}"#, #"{"sub":"a","device":""}"#,
            #"{"sub":"a","aud":"x"}"#, #"{"sub":"a","aud":[]}"#, #"{"sub":"a","aud":1}"#, #"{"sub":"a","iss":1}"#,
            #"{"sub":"012345678901234567890123456789012"}"#, #"{"sub":"a\u0000"}"#,
            #"{"sub":"a","topics":"x"}"#, #"{"sub":"a","topics":null}"#, #"{"sub":"a","topics":[1]}"#, #"{"sub":"a","topics":["a#"]}"#,
            #"{"sub":"a","topics":{"a":"subscribe"}}"#, #"{"sub":"a","topics":{"a":["write"]}}"#, #"{"sub":"a","topics":{"":["subscribe"]}}"#,
            #"{"sub":"a","topics":{"a":["subscribe"],"\u0061":["publish"]}}"#, #"{"sub":"a","topics":[],"topics":["b"]}"#,
            #"{"sub":"a"} "#.dropLast() + "x", #"[]"#, "",
        ])
    func doubtful(payload: String) async throws {
        let gate = try await Gate()
        #expect(gate.code(try await Gate.signed(payload)) == .unauthorized)
        await gate.service.stop()
    }

    @Test(
        "What a token says of topics",
        arguments: [
            (#""topics":{"news/#":["subscribe"],"chat/+/alice":["subscribe","publish","presence"],"x":[]}"#, ["news/# 1", "chat/+/alice 7", "x 0"]),
            (#""topics":["a","b/#"]"#, ["a 1", "b/# 1"]), (#""topics":{}"#, []), (#""topics":[]"#, []), (#""more":1"#, nil),
        ] as [(String, [String]?)])
    func topics(claim: String, rules: [String]?) async throws {
        let gate = try await Gate()
        let grant = try #require(gate.token(try await Gate.signed(#"{"sub":"alice",\#(claim)}"#))).get()
        #expect(grant.rights.rules.map { $0.map { "\($0.pattern.text) \($0.actions.rawValue)" } } == rules)
        #expect((grant.rights == .unsaid) == (rules == nil))
        await gate.service.stop()
    }

    @Test("A token that is made here says of topics what it was told to")
    func madeTopics() async throws {
        let gate = try await Gate()
        var claims = TokenMaker.Claims(user: "alice", issuedAt: Int64(Self.now), expiresAt: Int64(Self.now) + 60)
        claims.topics = try ["a/#", "b\"é", "a/#"].enumerated().map { index, pattern in
            .init(pattern: try TopicFilter(parsing: pattern, limits: Limits()), actions: index == 2 ? .publish : [.subscribe, .presence])
        }
        let grant = try #require(gate.token(try await TokenMaker.token(claims, .secret(Gate.secret)))).get()
        #expect(grant.rights.rules?.map { "\($0.pattern.text) \($0.actions.rawValue)" } == ["a/# 7", "b\"é 5"])
        await gate.service.stop()
    }

    @Test(
        "A header that leaves a doubt is refused",
        arguments: [
            #"{}"#, #"{"alg":"none"}"#, #"{"alg":"None"}"#, #"{"alg":"hs256"}"#, #"{"alg":"HS384"}"#, #"{"alg":"RS256"}"#,
            #"{"alg":"ES256"}"#, #"{"alg":["HS256"]}"#, #"{"alg":"HS256","alg":"none"}"#, #"{"alg":"none","alg":"HS256"}"#,
            #"{"alg":"HS256","crit":[]}"#, #"{"alg":"HS256","kid":1}"#, #"{"alg":"HS256"}x"#, "",
        ])
    func doubtfulHeader(header: String) async throws {
        let gate = try await Gate()
        #expect(gate.code(try await Gate.signed(#"{"sub":"a"}"#, header: header)) == .unauthorized)
        await gate.service.stop()
    }

    @Test("Only three parts of base64url are a token")
    func shapes() async throws {
        let gate = try await Gate()
        let good = try await Gate.signed(#"{"sub":"a"}"#)
        #expect(gate.code(good) == nil)
        let parts = good.split(separator: ".").map(String.init)
        for bad in [
            "", ".", "..", "...", good + ".", "." + good, good + "=", good + " ", " " + good, parts[0] + "." + parts[1],
            parts[0] + "." + parts[1] + ".", good.replacing("_", with: "/") + "\n", String(repeating: "a", count: 9_000),
        ] {
            #expect(gate.code(bad) == .unauthorized, "\(bad)")
        }
        // Each character of the signature counts.
        let signature = Array(parts[2])
        for index in signature.indices {
            var other = signature
            other[index] = other[index] == "A" ? "B" : "A"
            #expect(gate.code("\(parts[0]).\(parts[1]).\(String(other))") == .unauthorized)
        }
        await gate.service.stop()
    }

    @Test("An issuer and an audience that are configured must be there")
    func issuerAndAudience() async throws {
        let gate = try await Gate {
            $0.issuer = "me"
            $0.audience = "push"
        }
        #expect(gate.code(try await Gate.signed(#"{"sub":"a","iss":"me","aud":["x","push"]}"#)) == nil)
        #expect(gate.code(try await Gate.signed(#"{"sub":"a","iss":"me"}"#)) == .unauthorized)
        #expect(gate.code(try await Gate.signed(#"{"sub":"a","iss":"you","aud":"push"}"#)) == .unauthorized)
        #expect(gate.code(try await Gate.signed(#"{"sub":"a","aud":"push"}"#)) == .unauthorized)
        await gate.service.stop()
    }

    @Test("Where an end is required, a token without one is refused, and no other")
    func requiredEnd() async throws {
        let gate = try await Gate { $0.requireExp = true }
        let endless = try await Gate.signed(#"{"sub":"a","iat":1700000000}"#)
        for _ in 0..<2 {
            guard case .failure(let error)? = gate.token(endless) else {
                Issue.record("it was taken")
                break
            }
            #expect(error.code == .unauthorized)
            #expect(error.message.contains("(exp)"))
        }
        #expect(gate.code(try await Gate.signed(#"{"sub":"a","exp":1700000600}"#)) == nil)
        #expect(gate.code(try await Gate.signed(#"{"sub":"a","exp":1699999000}"#)) == .tokenExpired)
        await gate.service.stop()
        let other = try await Gate()
        #expect(other.code(endless) == nil)
        await other.service.stop()
    }

    @Test("A secret shorter than its hash is refused")
    func shortSecret() async {
        await #expect(throws: AccessError.self) { try await Gate { $0.secret = Array("short".utf8) } }
    }

    @Test("What is no public key is refused", arguments: ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
    func badPEM(pem: String) async {
        await #expect(throws: AccessError.self) { try await Gate { $0.publicKeys = [(name: "x.pem", pem: pem)] } }
    }

    @Test("A revocation takes back what was issued before it, or does not say when")
    func revocations() async throws {
        let gate = try await Gate()
        let keeper = gate.service.gatekeeper
        func grant(_ issued: Int64?) -> TokenGrant {
            TokenGrant(app: AppID(1), user: "alice", device: nil, issuedAtMs: issued, expiresAtMs: nil)
        }
        #expect(!keeper.isRevoked(grant(nil)))
        keeper.revoke(app: AppID(1), user: "alice", device: nil, beforeMs: 5_000) { #expect($0 == nil) }
        #expect(keeper.isRevoked(grant(nil)) && keeper.isRevoked(grant(4_999)))
        #expect(!keeper.isRevoked(grant(5_000)))
        await gate.service.stop()
    }
}

@Suite struct APIKeyTests {
    @Test("A new key is its own text")
    func text() throws {
        let key = APIKey()
        let again = try #require(APIKey(key.text))
        #expect(again.id == key.id && again.secret == key.secret)
        #expect(again.matches(key.hash))
        #expect(key.secret.utf8.count == 43 && key.hash.count == 32)
        #expect(!APIKey().matches(key.hash))
        #expect(!key.matches(Array(key.hash.dropLast())) && !key.matches([]))
    }

    @Test(
        "Anything else is none",
        arguments: ["", "mk_", "mk__", "mk_a", "mk_a_", "mk__b", "MK_a_b", "pk_a_b", "mk_a_" + String(repeating: "x", count: 200)])
    func others(text: String) { #expect(APIKey(text) == nil) }

    @Test("Only a key that is known, whole, in time and not revoked is good")
    func checks() async throws {
        let gate = try await Gate()
        let key = APIKey()
        let record = KeyRecord(
            id: key.id, app: AppID(2), name: "", scopes: [.read], hash: key.hash, createdAtMs: 0,
            expiresAtMs: gate.clock.now + 5_000)
        let keeper = gate.service.gatekeeper
        #expect(throws: WireError.self) { try keeper.key(key.text).get() }
        gate.directory.tables.withLock { $0.keys[key.id] = record }
        #expect(try keeper.key(key.text).get() == KeyGrant(app: AppID(2), keyID: key.id, scopes: [.read]))
        #expect(throws: WireError.self) { try keeper.key(String(key.text.dropLast())).get() }
        #expect(throws: WireError.self) { try keeper.key("mk_\(key.id)_\(APIKey().secret)").get() }
        gate.clock.advance(seconds: 5)
        #expect(throws: WireError.self) { try keeper.key(key.text).get() }
        gate.directory.tables.withLock {
            $0.keys[key.id]?.expiresAtMs = nil
            $0.keys[key.id]?.revokedAtMs = 1
        }
        #expect(throws: WireError.self) { try keeper.key(key.text).get() }
        await gate.service.stop()
    }

    @Test("Scopes by name")
    func scopes() {
        #expect(KeyScopes(names: "publish,read") == [.publish, .read])
        #expect(KeyScopes(names: "admin, publish") == [.admin, .publish])
        #expect(KeyScopes(names: "") == nil && KeyScopes(names: "publish,") == nil && KeyScopes(names: "all") == nil)
        #expect(KeyScopes.all.names == ["publish", "read", "admin"])
    }
}
