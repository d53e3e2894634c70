import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `/v1/topics/{topic}`: everything after the prefix is the topic, slashes included, each level percent-decoded.
enum TopicAPI {
    static let prefix = "/v1/topics/"

    static func answer(_ request: FrontRequest, front: FrontHandler) {
        switch request.head.method {
        case .POST: TopicPublishAPI.publish(request, path: request.path.dropFirst(Self.prefix.count), front: front)
        case .GET, .HEAD: TopicReadAPI.answer(request, front: front)
        default: front.methodNotAllowed("GET, HEAD, POST")
        }
    }

    /// - Throws: `bad_request`.
    static func name(_ path: Substring) throws(WireError) -> String {
        guard QueryString.isEncoded(path) else {
            throw WireError(.badRequest, "In the path a % must be followed by two hexadecimal digits: a percent sign itself is %25.")
        }
        return QueryString.decode(path, plusIsSpace: false)
    }

    /// Who asks for a topic: a back end with a key, or a client.
    struct Asker {
        var app: AppID
        /// An API key's public name; nil for a client.
        var keyID: String?
        var user: String?
        var rights: TopicRights

        /// - Throws: `forbidden`.
        func check(_ action: TopicRights.Actions, _ topic: String, _ services: HTTPServices) throws(WireError) {
            guard self.rights != .everything else { return }
            let options = services.topics.options(of: TopicKey(app: self.app, name: topic))
            guard self.rights.allows(action, TopicFilter(topic: topic), options) else {
                throw WireError(.forbidden, "You may not \(action.verb) \(NameHint.quoted(topic)).")
            }
        }
    }

    /// Finds out who asks: by an API key, or by a client's token.
    ///
    /// - Parameters:
    ///   - scope: what a key must allow.
    ///   - then: called on the connection's loop, mostly at once; not at all if the connection is gone by then.
    static func asker(
        _ request: FrontRequest, _ scope: KeyScopes, front: FrontHandler, then: @escaping (Result<Asker, WireError>) -> Void
    ) {
        let services = front.services
        let shown = KeyAccess.Shown(request.head.headers)
        do throws(WireError) {
            if try shown.isKey() {
                let grant = try KeyAccess.grant(scope, shown, services)
                // They mean nothing with a key, but must be names.
                for parameter in ["user", "device"] { _ = try request.query.name(parameter, limit: services.limits.nameBytes) }
                return then(.success(Asker(app: grant.app, keyID: grant.keyID, user: nil, rights: .everything)))
            }
        } catch {
            return then(.failure(error))
        }
        ClientAccess.caller(request, front: front) { result in
            switch result {
            case .success(let caller):
                then(.success(Asker(app: caller.app, keyID: nil, user: caller.user, rights: caller.rights)))
            case .failure(let error) where error == ClientAccess.nobody:
                then(.failure(Self.nobody))
            case .failure(let error): then(.failure(error))
            }
        }
    }

    private static let nobody = WireError(
        .unauthorized,
        "Say who is asking: send an API key as Authorization: Bearer mk_…, or a client's token as Authorization: Bearer, ?token= or the cookie martlet_token."
    )
}

extension TopicRights.Actions {
    fileprivate var verb: String {
        switch self {
        case .publish: "publish to"
        case .presence: "see who is at"
        default: "read"
        }
    }
}
