import MartletCore
import MartletWire
import NIOCore

/// The methods there are.
enum GRPCMethods {
    static let session = "/martlet.v1.Push/Connect"

    /// - Throws: what the call ends with at once.
    static func call(_ head: GRPCRequestHead, _ stream: GRPCStream) throws(GRPCRequestHead.Refusal) -> any GRPCCall {
        do throws(WireError) {
            switch head.path {
            case self.session: return try PushConnection.connect(stream)
            case "/martlet.v1.Push/Publish": return try PublishCall(signed: stream)
            case "/martlet.v1.Push/PublishBatch": return try BatchCall(signed: stream)
            case "/martlet.v1.Push/GetMessage": return try StatusCall(signed: stream)
            case "/grpc.health.v1.Health/Check": return HealthCall(stream, isWatch: false)
            case "/grpc.health.v1.Health/Watch": return HealthCall(stream, isWatch: true)
            case "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo":
                return ReflectionCall(stream)
            default: break
            }
        } catch {
            throw .status(GRPCStatus(error))
        }
        throw .status(GRPCStatus(.unimplemented, "There is no method \(head.path.prefix(128))."))
    }
}

/// What callers show.
struct GRPCAccess {
    let services: GRPCServices

    /// What dev mode allows without a key.
    private static let dev = KeyGrant(app: .dev, keyID: "dev", scopes: .all)

    /// The credential of the metadata (RFC 6750 §2.1).
    ///
    /// - Throws: `unauthorized` for another scheme.
    static func bearer(_ authorization: String?) throws(WireError) -> String? {
        guard let authorization else { return nil }
        let parts = authorization.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw WireError(.unauthorized, "Send it as authorization: Bearer, a space, and the key or token.")
        }
        return String(parts[1].drop { $0 == " " })
    }

    /// - Throws: `unauthorized` without a good key, `forbidden` without the scope.
    func grant(_ scope: KeyScopes, _ head: GRPCRequestHead?) throws(WireError) -> KeyGrant {
        let grant: KeyGrant
        if let key = try Self.bearer(head?.authorization) ?? head?.apiKey {
            grant = try self.services.gatekeeper.key(key).get()
        } else {
            guard self.services.options.isDev else {
                throw WireError(
                    .unauthorized, "This needs an API key: send it as authorization: Bearer mk_… (martlet key create makes one).")
            }
            grant = Self.dev
        }
        guard grant.scopes.contains(scope) else {
            let name = scope.names.joined(separator: ",")
            throw WireError(.forbidden, "This API key lacks the scope \(name): create one with --scope \(name).")
        }
        return grant
    }

    // MARK: Clients

    static let nobody = WireError(
        .unauthorized, "Say who connects: send a token as authorization: Bearer in the metadata, or in the hello.")

    /// Finds out who a hello is of.
    ///
    /// - Parameters:
    ///   - token: nil without one.
    ///   - user: whom the hello names, and the device; empty for nobody.
    ///   - then: called on the loop, mostly at once.
    func caller(
        _ token: String?, user: String, device: String, loop: any EventLoop, then: @escaping (Result<GRPCCaller, WireError>) -> Void
    ) {
        if let problem = self.problem(user, "user") ?? self.problem(device, "device") { return then(.failure(problem)) }
        guard let token else {
            guard self.services.options.isDev else { return then(.failure(Self.nobody)) }
            return then(
                .success(
                    GRPCCaller(
                        app: .dev, user: user.isEmpty ? nil : user, device: device.isEmpty ? nil : device, expiresAtMs: nil, rights: .everything)))
        }
        let bound = NIOLoopBound(then, eventLoop: loop)
        self.services.gatekeeper.token(token) { result in
            let answer: @Sendable () -> Void = { bound.value(result.flatMap { self.caller($0, user: user, device: device) }) }
            if loop.inEventLoop { answer() } else { loop.execute(answer) }
        }
    }

    private func problem(_ name: String, _ what: String) -> WireError? {
        guard !name.isEmpty, let problem = nameProblem(name, limit: self.services.limits.nameBytes) else { return nil }
        return WireError(.badRequest, "'\(what)' \(problem).")
    }

    private func caller(_ grant: TokenGrant, user: String, device: String) -> Result<GRPCCaller, WireError> {
        var grant = grant
        if !user.isEmpty, !isSameName(user, grant.user) {
            return .failure(WireError(.forbidden, "The token is another user's than the hello names."))
        }
        if !device.isEmpty {
            guard grant.device == nil || isSameName(grant.device, device) else {
                return .failure(WireError(.forbidden, "The token is for another device than the hello names."))
            }
            grant.device = device
        }
        guard !self.services.gatekeeper.isRevoked(grant) else {
            return .failure(WireError(.unauthorized, "The token was taken back: get a new one."))
        }
        return .success(
            GRPCCaller(app: grant.app, user: grant.user, device: grant.device, expiresAtMs: grant.expiresAtMs, rights: grant.rights))
    }
}
