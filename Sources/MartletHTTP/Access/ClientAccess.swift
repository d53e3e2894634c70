import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// Who a client is, once that was checked.
struct Caller: Equatable, Sendable {
    var app: AppID
    /// Without a token only one of the two may be there.
    var user: String?
    var device: String?
    /// Until when its token is good; Unix time in milliseconds, nil without an end.
    var expiresAtMs: Int64?
    /// What it may do with topics.
    var rights: TopicRights

    /// Says in a hello who connects.
    func sign(_ hello: inout Hello) {
        hello.app = self.app
        hello.user = self.user
        hello.device = self.device
        hello.expiresAtMs = self.expiresAtMs
        hello.rights = self.rights
    }
}

/// What clients are asked for: a token. In dev mode the query's `user` and `device` stand for one.
struct ClientAccess {
    let services: HTTPServices
    let query: QueryString
    let headers: HTTPHeaders
    private let method: HTTPMethod

    init(_ request: FrontRequest, _ services: HTTPServices) {
        self.services = services
        self.query = request.query
        self.headers = request.head.headers
        self.method = request.head.method
    }

    /// For a token that comes without a request.
    init(_ services: HTTPServices) {
        self.services = services
        self.query = QueryString("")
        self.headers = [:]
        self.method = .GET
    }

    /// Keeps pages of elsewhere from opening a WebSocket, which browsers let them try.
    ///
    /// - Throws: `forbidden`.
    func refuseForeign() throws(WireError) {
        try Bearer.refuseForeign(
            self.headers.first(name: "origin"), host: self.headers.first(name: "host"), self.services, isCookie: false)
    }

    /// The cookie that may hold a token.
    static let cookie = "martlet_token"

    static let nobody = WireError(
        .unauthorized, "Say who is asking: send a token as Authorization: Bearer, as the cookie martlet_token, or, on streams and polls, as ?token=.")

    // MARK: The token

    /// The token that the request shows: the header counts before the query, the query before the cookie.
    ///
    /// - Throws: `unauthorized`, or `forbidden` for a cookie that a page of elsewhere sent along.
    func token() throws(WireError) -> String? {
        if let token = try Bearer.token(self.headers.first(name: "authorization")) { return token }
        if let token = self.query["token"] { return token }
        guard let token = self.cookieToken else { return nil }
        guard CookieGuard.allows(self.method, self.headers, self.services.origins) else { throw Bearer.foreign }
        return token
    }

    private var cookieToken: String? {
        for field in self.headers[canonicalForm: "cookie"] {
            for pair in field.split(separator: ";") {
                let parts = pair.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2, parts[0] == Self.cookie, !parts[1].isEmpty { return String(parts[1]) }
            }
        }
        return nil
    }

    // MARK: Who it is

    /// Finds out who is asking.
    ///
    /// - Parameter then: called on the connection's loop, mostly at once; not at all if the connection is gone by then.
    static func caller(
        _ request: FrontRequest, front: FrontHandler, then: @escaping (Result<Caller, WireError>) -> Void
    ) {
        if let caller = request.caller { return then(.success(caller)) }
        let access = ClientAccess(request, front.services)
        do throws(WireError) {
            if let token = try access.token() {
                guard let loop = front.context?.eventLoop else { return }
                access.caller(token, loop: loop) { result in
                    if front.context != nil { then(result) }
                }
            } else {
                then(.success(try access.devCaller()))
            }
        } catch {
            then(.failure(error))
        }
    }

    /// Checks a token on an event loop.
    ///
    /// - Parameter then: called on the loop, mostly at once.
    func caller(_ token: String, loop: any EventLoop, then: @escaping (Result<Caller, WireError>) -> Void) {
        let waiting = NIOLoopBound(Waiting(access: self, then: then), eventLoop: loop)
        self.services.gatekeeper.token(token) { result in
            if loop.inEventLoop {
                waiting.value.answer(result)
            } else {
                loop.execute { waiting.value.answer(result) }
            }
        }
    }

    /// What goes on once a token was checked.
    private struct Waiting {
        let access: ClientAccess
        let then: (Result<Caller, WireError>) -> Void

        func answer(_ result: Result<TokenGrant, WireError>) {
            do throws(WireError) {
                self.then(.success(try self.access.caller(try result.get())))
            } catch {
                self.then(.failure(error))
            }
        }
    }

    /// The client that a token speaks for, with the device that the query names if the token leaves that open.
    private func caller(_ grant: TokenGrant) throws(WireError) -> Caller {
        var grant = grant
        if let user = try self.name("user"), !isSameName(user, grant.user) {
            throw WireError(.forbidden, "The token is another user's than the query names.")
        }
        if let device = try self.name("device") {
            guard grant.device == nil || isSameName(grant.device, device) else {
                throw WireError(.forbidden, "The token is for another device than the query names.")
            }
            grant.device = device
        }
        guard !self.services.gatekeeper.isRevoked(grant) else {
            throw WireError(.unauthorized, "The token was taken back: get a new one.")
        }
        return Caller(app: grant.app, user: grant.user, device: grant.device, expiresAtMs: grant.expiresAtMs, rights: grant.rights)
    }

    /// Who the query names, in dev mode.
    ///
    /// - Throws: `unauthorized` outside dev mode, `forbidden` for a page of elsewhere, `bad_request` for a name that is none.
    private func devCaller() throws(WireError) -> Caller {
        guard self.services.isDev else { throw Self.nobody }
        try Bearer.refuseForeign(
            self.headers.first(name: "origin"), host: self.headers.first(name: "host"), self.services, isCookie: false)
        let caller = Caller(app: .dev, user: try self.name("user"), device: try self.name("device"), expiresAtMs: nil, rights: .everything)
        return caller
    }

    private func name(_ parameter: String) throws(WireError) -> String? {
        try self.query.name(parameter, limit: self.services.limits.nameBytes)
    }
}
