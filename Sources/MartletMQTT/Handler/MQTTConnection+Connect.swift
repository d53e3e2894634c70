import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// CONNECT (MQTT 5.0 §3.1): who it is, and what of a session there is.
extension MQTTConnection {
    /// Who a client is, once that was checked.
    private struct Caller {
        var app: AppID
        var user: String?
        var expiresAtMs: Int64?
        var rights: TopicRights
        var mayHaveInbox: Bool
        var key: KeyGrant?
    }

    func connect(_ connect: MQTTPacket.Connect) throws(MQTTError) {
        self.encoder = MQTTEncoder(
            version: connect.version, packetBytes: connect.properties.maximumPacketSize.map { Int($0) } ?? .max,
            sendsProblemInformation: connect.properties.requestProblemInformation ?? true)
        guard connect.properties.authenticationMethod == nil else {
            throw MQTTError(.badAuthenticationMethod, "there is no enhanced authentication here: send a token as the password")
        }
        try self.takeName(connect)
        self.askedKeepAlive = connect.keepAlive
        self.askedExpiry = connect.properties.sessionExpiryInterval ?? (connect.version == .v5 || connect.cleanStart ? 0 : .max)
        self.askedAliases = connect.properties.topicAliasMaximum ?? 0
        self.window = min(Int(connect.properties.receiveMaximum ?? .max), self.services.limits.windowMessagesMax)
        self.phase = .opening
        self.pauseReading(always: true)
        self.findCaller(connect) { [self] result in
            guard self.context != nil, self.phase == .opening else { return }
            do {
                try self.open(connect, try result.get())
            } catch let error as MQTTError {
                self.refuse(error.code, error.reason)
            } catch {
                self.refuse(.unspecifiedError, "")
            }
        }
    }

    private func takeName(_ connect: MQTTPacket.Connect) throws(MQTTError) {
        guard connect.clientID.isEmpty else {
            if let problem = nameProblem(connect.clientID, limit: self.services.limits.nameBytes) {
                throw MQTTError(.clientIdentifierNotValid, "the client id \(problem)")
            }
            self.clientID = connect.clientID
            return
        }
        guard connect.version == .v5 || connect.cleanStart else {
            throw MQTTError(.clientIdentifierNotValid, "a session that is kept needs a client id")
        }
        self.clientID = "auto-" + String(UInt64.random(in: .min ... .max), radix: 36) + String(UInt64.random(in: .min ... .max), radix: 36)
        self.assignedID = self.clientID
    }

    // MARK: Who it is

    /// - Parameter then: called on the connection's loop, mostly at once.
    private func findCaller(_ connect: MQTTPacket.Connect, then: @escaping (Result<Caller, MQTTError>) -> Void) {
        let shown = connect.password.map { String(buffer: $0) } ?? self.credential
        if self.services.options.isDev, shown.map({ Self.isCredential($0) }) != true {
            return then(self.devCaller(connect))
        }
        guard let shown else {
            return then(.failure(MQTTError(.badUserNameOrPassword, "send a token or an API key as the password")))
        }
        if shown.hasPrefix("mk_") { return then(self.keyCaller(shown)) }
        guard let loop = self.context?.eventLoop else { return }
        let bound = NIOLoopBound(then, eventLoop: loop)
        self.services.gatekeeper.token(shown) { [self] result in
            let answer: @Sendable () -> Void = { bound.value(self.caller(result)) }
            if loop.inEventLoop { answer() } else { loop.execute(answer) }
        }
    }

    /// Whether a password is meant to be checked in dev mode too.
    private static func isCredential(_ text: String) -> Bool { text.hasPrefix("mk_") || text.utf8.count { $0 == UInt8(ascii: ".") } == 2 }

    private func devCaller(_ connect: MQTTPacket.Connect) -> Result<Caller, MQTTError> {
        if let name = connect.userName, let problem = nameProblem(name, limit: self.services.limits.nameBytes) {
            return .failure(MQTTError(.badUserNameOrPassword, "the user name \(problem)"))
        }
        return .success(Caller(app: .dev, user: connect.userName, expiresAtMs: nil, rights: .everything, mayHaveInbox: true))
    }

    private func keyCaller(_ key: String) -> Result<Caller, MQTTError> {
        switch self.services.gatekeeper.key(key) {
        case .failure(let error): return .failure(Self.refusal(error))
        case .success(let grant):
            return .success(
                Caller(app: grant.app, user: nil, expiresAtMs: nil, rights: .key(grant.scopes), mayHaveInbox: false, key: grant))
        }
    }

    private func caller(_ result: Result<TokenGrant, WireError>) -> Result<Caller, MQTTError> {
        switch result {
        case .failure(let error): return .failure(Self.refusal(error))
        case .success(var grant):
            guard grant.device == nil || isSameName(grant.device, self.clientID) else {
                return .failure(MQTTError(.clientIdentifierNotValid, "the token is for another client id"))
            }
            grant.device = self.clientID
            guard !self.services.gatekeeper.isRevoked(grant) else {
                return .failure(MQTTError(.badUserNameOrPassword, "the token was taken back: get a new one"))
            }
            return .success(
                Caller(
                    app: grant.app, user: grant.user, expiresAtMs: grant.expiresAtMs, rights: grant.rights, mayHaveInbox: true))
        }
    }

    /// A refusal in the protocol's words.
    static func refusal(_ error: WireError) -> MQTTError {
        let code: MQTTReasonCode =
            switch error.code {
            case .unauthorized, .tokenExpired: .badUserNameOrPassword
            case .forbidden: .notAuthorized
            case .tooManySessions, .tooManyDevices, .tooManyTopics: .quotaExceeded
            case .rateLimited: .connectionRateExceeded
            case .tooManyConnections: .serverBusy
            case .draining, .storeUnavailable, .keysUnavailable: .serverUnavailable
            case .badRequest: .clientIdentifierNotValid
            default: .unspecifiedError
            }
        return MQTTError(code, error.message)
    }

    // MARK: The session

    private func open(_ connect: MQTTPacket.Connect, _ caller: Caller) throws(MQTTError) {
        self.app = caller.app
        self.user = caller.user
        self.mayHaveInbox = caller.mayHaveInbox
        self.key = caller.key
        var hello = Hello(app: caller.app, user: caller.user, device: self.clientID, ackMode: .explicit, limits: self.services.limits)
        hello.rights = caller.rights
        hello.expiresAtMs = caller.expiresAtMs
        hello.transport = .mqtt
        let keepAlive = self.grantedKeepAlive
        hello.seesClient = keepAlive > 0
        // A silent client is found dead after two intervals; the keep alive allows one and a half times itself ([MQTT-3.1.2-22]).
        hello.heartbeatMs = keepAlive > 0 ? Int64(keepAlive) * 750 : 600_000
        hello.terms = SessionTerms(
            isClean: connect.cleanStart, expirySeconds: min(Int(self.askedExpiry), self.services.options.sessionExpiryMax),
            will: try connect.will.map { (will) throws(MQTTError) in try self.will(will, caller) }, windowMessages: self.window)
        if let channel = self.context?.channel {
            StreamSocket.prepare(channel, heartbeatMs: hello.heartbeatMs, self.services.limits, isDirect: false)
        }
        let handle = self.services.gateway.open(hello, client: MQTTClient(connection: self), shard: self.state.index)
        if self.context == nil || self.phase == .closing { handle.clientClosed() } else { self.handle = handle }
    }

    private func will(_ will: MQTTPacket.Will, _ caller: Caller) throws(MQTTError) -> Will {
        var request = try PublishMapping(app: caller.app, limits: self.services.limits).request(
            topic: will.topic, payload: will.payload, qos: will.qos, retain: will.retain, properties: will.properties)
        request.marks.origin = MessageMarks.origin(of: self.clientID)
        guard self.services.gateway.mayPublish(will.topic, app: caller.app, rights: caller.rights) else {
            throw MQTTError(.notAuthorized, "this client may not publish its will")
        }
        return Will(request: request, delaySeconds: Int(will.properties.willDelayInterval ?? 0))
    }

    /// In seconds; 0 for none.
    private var grantedKeepAlive: UInt16 {
        // In 3.1.1 a client cannot be told that its own does not count.
        guard self.encoder.version == .v5 else { return self.askedKeepAlive }
        let most = UInt16(clamping: self.services.options.keepAliveMax)
        return self.askedKeepAlive == 0 || self.askedKeepAlive > most ? most : self.askedKeepAlive
    }

    /// CONNACK (§3.2).
    func welcome(_ welcome: Welcome) {
        guard self.phase == .opening else { return }
        self.services.metrics.connected(.success)
        self.isResumed = welcome.standing?.isResumed == true
        self.isInboxAcked = welcome.standing?.acksInbox ?? false
        self.aliasesOut = OutAliases(most: self.askedAliases)
        var connack = MQTTPacket.Connack(.success, sessionPresent: welcome.standing?.isResumed == true)
        if self.encoder.version == .v5 {
            let expiry = UInt32(clamping: welcome.standing?.expirySeconds ?? 0)
            if expiry != self.askedExpiry { connack.properties.sessionExpiryInterval = expiry }
            connack.properties.receiveMaximum = MQTTServices.receiveMaximum
            connack.properties.maximumPacketSize = UInt32(clamping: self.services.packetBytes)
            connack.properties.topicAliasMaximum = MQTTServices.topicAliases
            connack.properties.assignedClientIdentifier = self.assignedID
            if self.grantedKeepAlive != self.askedKeepAlive { connack.properties.serverKeepAlive = self.grantedKeepAlive }
            connack.properties.userProperties = [MQTTUserProperty("session", welcome.session)]
        }
        self.send(.connack(connack), capacity: 160)
        self.assignedID = nil
        self.opened()
    }
}
