/// A session as server-sent events of `/v1/sse`; what the client has to say goes by requests of their own.
struct EventStreamTransport<Network: Carrier>: MartletTransport {
    let server: ServerAddress
    let carrier: Network

    var name: String { "sse" }
    /// Only through an exchange, which needs a device.
    var subscribes: Bool { false }

    func session(_ plan: SessionPlan, outgoing: Outgoing, receive: @escaping @Sendable (ServerFrame) async -> Void) async -> SessionEnd {
        let talk = Locked(Talk(token: plan.token))
        let welcomed = Signal()
        return await withTaskGroup(of: SessionEnd?.self) { group in
            group.addTask {
                await self.read(
                    plan, receive: receive,
                    opened: { session in
                        talk.with { $0.session = session }
                        welcomed.signal()
                    })
            }
            group.addTask {
                await welcomed.wait()
                while let frames = await outgoing.next() {
                    for frame in frames { await self.say(frame, plan, talk, receive) }
                }
                return .closed(1_000, "")
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? .lost("The connection broke off.")
        }
    }

    func probe() async -> Bool { true }

    func shutdown() async { await self.carrier.shutdown() }

    /// What requests of the session need to know.
    struct Talk {
        var token: String?
        var session = ""
    }

    private func read(
        _ plan: SessionPlan, receive: @escaping @Sendable (ServerFrame) async -> Void, opened: @escaping @Sendable (String) -> Void
    ) async -> SessionEnd {
        let parser = Locked(SSEParser())
        let request = CarrierRequest(
            "GET", self.server.target("/v1/sse", self.server.query(plan)),
            headers: [("Accept", "text/event-stream"), ("Cache-Control", "no-cache")] + Self.authorization(plan.token))
        do throws(SessionEnd) {
            let answer = try await self.carrier.stream(self.server, request) { bytes throws(SessionEnd) in
                let events = try parser.with { (parser: inout SSEParser) throws(SessionEnd) in try parser.feed(bytes) }
                if events.isEmpty { await receive(.sign) }
                for event in events {
                    if event.name == "close" {
                        let (code, reason) = FrameCoding.close(event.data)
                        throw .closed(code, reason)
                    }
                    guard let frame = FrameCoding.frame(event: event.name, event.data, cursor: event.hasID ? event.id : nil) else { continue }
                    if case .welcome(let welcome) = frame { opened(welcome.session) }
                    await receive(frame)
                    // The last word of a server that restarts: its end need not be waited for.
                    if case .drain = frame { throw .closed(1_012, "service restart") }
                }
            }
            guard answer.status == 200 else { return answer.end }
            return .lost("The connection ended.")
        } catch {
            return error
        }
    }

    static func authorization(_ token: String?) -> [(String, String)] { token.map { [("Authorization", "Bearer \($0)")] } ?? [] }

    // MARK: Saying

    /// How long an answer may take: the stream may live while another connection hangs.
    private static var patience: Duration { .seconds(20) }

    private func who(_ plan: SessionPlan) -> [(String, String?)] { [("user", plan.user), ("device", plan.device)] }

    private func post(_ path: String, _ query: [(String, String?)], _ token: String?, body: [UInt8] = []) async throws(SessionEnd) {
        let answer = try await self.answer(path, query, token, body: body)
        guard (200..<300).contains(answer.status) else { throw answer.end }
    }

    private func answer(
        _ path: String, _ query: [(String, String?)], _ token: String?, headers: [(String, String)] = [], body: [UInt8]
    ) async throws(SessionEnd) -> CarrierAnswer {
        let request = CarrierRequest(
            "POST", self.server.target(path, query), headers: [("Content-Type", "application/json")] + headers + Self.authorization(token), body: body
        )
        let result = await withTaskGroup(of: Result<CarrierAnswer, SessionEnd>.self) { group in
            group.addTask {
                do throws(SessionEnd) { return .success(try await self.carrier.request(self.server, request)) } catch { return .failure(error) }
            }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return .failure(.silent)
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(.silent)
        }
        return try result.get()
    }

    private func say(_ frame: ClientFrame, _ plan: SessionPlan, _ talk: Locked<Talk>, _ receive: @Sendable (ServerFrame) async -> Void) async {
        let (token, session) = talk.with { ($0.token, $0.session) }
        switch frame {
        case .ack(let seqs): await self.ack(seqs, plan, token, session)
        case .subscribe(let wishes):
            do throws(SessionEnd) {
                try await self.post("/v1/exchange", self.who(plan), token, body: FrameCoding.exchangeBody(subscribe: wishes))
                await receive(.subscribed(topics: wishes.map(\.topic), cursor: nil))
            } catch {
                guard case .refused(let refusal) = error, !refusal.isTemporary else { return }
                for wish in wishes { await receive(.refused(refusal, .subscribe(topic: wish.topic))) }
            }
        case .unsubscribe(let topics):
            do throws(SessionEnd) {
                try await self.post("/v1/exchange", self.who(plan), token, body: FrameCoding.exchangeBody(unsubscribe: topics))
            } catch {}
        case .publish(let draft): await self.publish(draft, plan, token, receive)
        case .renew(let new):
            do throws(SessionEnd) {
                try await self.post("/v1/sessions/\(ServerAddress.encoded(session))/token", self.who(plan), new)
                talk.with { $0.token = new }
                await receive(.renewed(expiresAtMs: TokenClaims.expiresAtMs(new)))
            } catch {
                let why = if case .refused(let refusal) = error { refusal } else { MartletError(.unreachable, "The new token could not be told.") }
                await receive(.refused(why, .renewal))
            }
        case .heartbeat: break
        }
    }

    /// Tries until it is said or refused: in the latter case the session is over, and the next one presents the position.
    private func ack(_ seqs: [UInt64], _ plan: SessionPlan, _ token: String?, _ session: String) async {
        while !Task.isCancelled {
            do throws(SessionEnd) {
                return try await self.post("/v1/ack", self.who(plan), token, body: FrameCoding.ackBody(session: session, seqs))
            } catch {
                if case .refused(let refusal) = error, !refusal.isTemporary { return }
                try? await Task.sleep(for: .milliseconds(500))
            }
        }
    }

    private func publish(_ draft: Draft, _ plan: SessionPlan, _ token: String?, _ receive: @Sendable (ServerFrame) async -> Void) async {
        var headers = [("Idempotency-Key", draft.idempotencyKey)]
        if draft.retain { headers.append(("Retain", "true")) }
        let query: [(String, String?)] = self.who(plan) + [("type", draft.type), ("ttl", draft.ttlSeconds.map { "\($0)" })]
        do throws(SessionEnd) {
            let answer = try await self.answer(ServerAddress.topicPath(draft.topic), query, token, headers: headers, body: draft.data)
            guard answer.status == 202, let id = FrameCoding.id(inAnswer: answer.body) else { throw answer.end }
            await receive(.published(ref: draft.ref, id: id))
        } catch {
            // What is not known to be refused goes again, with the same key.
            let why = if case .refused(let refusal) = error { refusal } else { MartletError(.unreachable, "The publish got no answer.") }
            await receive(.refused(why, .publish(ref: draft.ref)))
        }
    }
}
