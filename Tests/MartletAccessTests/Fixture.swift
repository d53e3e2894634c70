import JWTKit
import Logging
import MartletAccess
import MartletCore
import MartletWire
import NIOPosix
import Synchronization

/// A directory in memory.
final class FakeDirectory: KeyDirectory {
    struct Tables {
        var keys: [String: KeyRecord] = [:]
        var apps: [String: AppID] = ["default": AppID(1), "acme": AppID(2)]
        var revoked: [String: Int64] = [:]
    }

    let tables = Mutex(Tables())

    func key(_ id: String) -> KeyRecord? { self.tables.withLock { $0.keys[id] } }
    func app(_ name: String) -> AppID? { self.tables.withLock { $0.apps[name] } }

    func revokedBefore(app: AppID, user: String, device: String?) -> Int64? {
        self.tables.withLock { $0.revoked["\(app.rawValue) \(user) \(device ?? "")"] ?? $0.revoked["\(app.rawValue) \(user) "] }
    }

    func revoke(app: AppID, user: String, device: String?, beforeMs: Int64, done: @escaping @Sendable (StoreError?) -> Void) {
        self.tables.withLock { $0.revoked["\(app.rawValue) \(user) \(device ?? "")"] = beforeMs }
        done(nil)
    }
}

/// A gatekeeper whose clock the test holds.
struct Gate: Sendable {
    static let secret = Array("0123456789abcdef0123456789abcdef".utf8)

    let directory = FakeDirectory()
    let clock = ManualWall()
    let service: AccessService

    init(_ change: (inout TokenRules) -> Void = { _ in }) async throws {
        var rules = TokenRules()
        rules.secret = Self.secret
        rules.leewaySeconds = 10
        change(&rules)
        let clock = self.clock
        var limits = Limits()
        limits.nameBytes = 32
        self.service = try await AccessService.start(
            directory: self.directory, rules: ["default": rules], limits: limits, group: MultiThreadedEventLoopGroup.singleton,
            wall: { clock.now }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// What a token comes to; everything here is answered at once.
    func token(_ text: String) -> Result<TokenGrant, WireError>? {
        let answer = Mutex<Result<TokenGrant, WireError>?>(nil)
        self.service.gatekeeper.token(text) { result in answer.withLock { $0 = result } }
        return answer.withLock { $0 }
    }

    func code(_ text: String) -> ErrorCode? {
        if case .failure(let error) = self.token(text) { return error.code }
        return nil
    }

    /// A token with any header and payload, signed with the secret.
    static func signed(_ payload: String, header: String = #"{"alg":"HS256"}"#, secret: [UInt8] = Gate.secret) async throws -> String {
        let collection = JWTKeyCollection()
        await collection.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256)
        var text: [UInt8] = []
        Base64URL.encode(Array(header.utf8), into: &text)
        text.append(UInt8(ascii: "."))
        Base64URL.encode(Array(payload.utf8), into: &text)
        let signature = try await collection.getKey().sign(text)
        text.append(UInt8(ascii: "."))
        Base64URL.encode(signature, into: &text)
        return String(decoding: text, as: UTF8.self)
    }
}

final class ManualWall: Sendable {
    private let value = Mutex<Int64>(1_700_000_000_000)
    var now: Int64 { self.value.withLock { $0 } }
    func advance(seconds: Int64) { self.value.withLock { $0 += seconds * 1_000 } }
}
