import MartletCore
import MartletNet
import MartletProto
import MartletWire
import NIOCore

/// What a client asks for. A refusal of what has a `ref` is an answer: the session goes on.
extension PushConnection {
    func take(_ request: ProtoConnectRequest) throws(WireError) {
        guard let frame = request.frame else { return }
        if case .hello(let hello) = frame { return try self.hello(hello) }
        if self.phase == .leaving {
            // Nothing else is answered any more.
            guard case .ack = frame else { return }
        }
        guard self.phase == .open || self.phase == .leaving, let handle = self.handle else {
            guard self.phase == .new else { return }
            throw Self.helloFirst
        }
        switch frame {
        case .hello: break
        case .ack(let ack):
            switch try HelloMapping(limits: self.services.limits).ack(ack) {
            case .seqs(let seqs): try handle.ack(seqs)
            case .cursor(let cursor): try handle.ack(cursor)
            }
        case .subscribe(let wish): self.subscribe(wish, handle)
        case .unsubscribe(let wish): self.unsubscribe(wish, handle)
        case .publish(let publish): self.publish(publish, handle)
        case .ping(let ping): self.send(ServerFrames.pong(ping.id))
        case .pong(let pong): self.ponged(pong.id)
        case .renew(let renew): self.renew(renew.token)
        }
    }

    // MARK: Who it is

    private func hello(_ wish: ProtoConnectRequest.Hello) throws(WireError) {
        guard self.phase == .new else { throw WireError(.badRequest, "A hello comes once, as the first request.") }
        guard let loop = self.context?.eventLoop else { return }
        guard !self.services.desk.isDraining else { throw GRPCServices.draining }
        self.phase = .opening
        let token = self.takeCredential() ?? (wish.token.isEmpty ? nil : wish.token)
        GRPCAccess(services: self.services).caller(token, user: wish.user, device: wish.device, loop: loop) { [self] result in
            guard self.context != nil, self.phase == .opening else { return }
            do throws(WireError) {
                try self.open(wish, try result.get())
            } catch {
                self.refuse(error)
            }
        }
        if self.phase == .opening, self.call == nil { self.pauseReading() }
    }

    private func open(_ wish: ProtoConnectRequest.Hello, _ caller: GRPCCaller) throws(WireError) {
        let mapping = HelloMapping(limits: self.services.limits)
        let hello = try mapping.hello(wish, caller, self.form == .webSocket ? .websocket : .grpc)
        self.app = hello.app
        self.user = hello.user
        if let channel = self.context?.channel {
            StreamSocket.prepare(channel, heartbeatMs: hello.heartbeatMs, self.services.limits, isDirect: false)
        }
        let handle = self.services.gateway.open(hello, client: PushClient(connection: self), shard: self.state.index)
        if self.context == nil || self.phase == .closing { handle.clientClosed() } else { self.handle = handle }
    }

    /// The session stands: requests that came with the hello are read now.
    func opened(_ welcome: Welcome) {
        guard self.phase == .opening else { return }
        self.phase = .open
        self.send(ServerFrames.welcome(welcome))
        // Not within the opening: whoever opens the session does not hold it yet.
        self.context?.eventLoop.assumeIsolated().execute { self.resumeReading() }
    }

    private func renew(_ token: String) {
        guard let loop = self.context?.eventLoop else { return }
        self.isChecking = true
        GRPCAccess(services: self.services).caller(token, user: "", device: "", loop: loop) { [self] result in
            self.isChecking = false
            guard self.context != nil, self.phase == .open, let handle = self.handle else { return }
            do throws(WireError) {
                let caller = try result.get()
                try handle.renew(
                    app: caller.app, user: caller.user, device: caller.device, expiresAtMs: caller.expiresAtMs, rights: caller.rights)
                self.send(ServerFrames.renewed(expiresAtMs: caller.expiresAtMs))
                self.flush()
                self.resumeReading()
            } catch {
                self.refuse(error)
            }
        }
    }

    // MARK: Topics

    private func subscribe(_ wish: ProtoConnectRequest.Subscribe, _ handle: any SessionHandle) {
        self.ref = wish.ref
        do throws(WireError) {
            try handle.subscribe(try HelloMapping(limits: self.services.limits).wishes(wish.topics))
        } catch {
            self.send(ServerFrames.refused(error, ref: wish.ref))
        }
        self.ref = 0
    }

    private func unsubscribe(_ wish: ProtoConnectRequest.Unsubscribe, _ handle: any SessionHandle) {
        do throws(WireError) {
            let filters = try HelloMapping(limits: self.services.limits).filters(wish.topics)
            self.ended = []
            handle.unsubscribe(filters)
            let ended = self.ended ?? []
            self.ended = nil
            self.send(ServerFrames.unsubscribed(ended, ref: wish.ref))
        } catch {
            self.send(ServerFrames.refused(error, ref: wish.ref))
        }
    }

    private func publish(_ publish: ProtoConnectRequest.PublishToTopic, _ handle: any SessionHandle) {
        let ref = publish.ref
        guard let loop = self.context?.eventLoop else { return }
        do throws(WireError) {
            guard !self.services.desk.isDraining else { throw GRPCServices.draining }
            let request = try DraftMapping(parser: .grpc(self.app, self.services.limits)).request(publish.message)
            if let refusal = self.services.countPublish(self.app, self.user) { throw refusal }
            try handle.publish(request) { [self] outcome in
                // What is not stored is published within the call.
                loop.execute { self.published(outcome, ref) }
            }
            self.publishes += 1
        } catch {
            self.services.refused(error.code)
            self.send(ServerFrames.refused(error, ref: ref))
        }
    }

    private func published(_ outcome: AppendOutcome, _ ref: UInt64) {
        switch PublishOutcome.answer(outcome) {
        case .success(let id): self.send(ServerFrames.published(id, ref: ref))
        case .failure(let error): self.send(ServerFrames.refused(error, ref: ref))
        }
        self.settledPublish()
    }
}
