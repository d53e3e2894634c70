/// A session as a WebSocket at `/v1/ws`.
struct WebSocketTransport<Network: Carrier>: MartletTransport {
    let server: ServerAddress
    let carrier: Network

    var name: String { "websocket" }
    var subscribes: Bool { true }

    func session(_ plan: SessionPlan, outgoing: Outgoing, receive: @escaping @Sendable (ServerFrame) async -> Void) async -> SessionEnd {
        let refusal = Locked<MartletError?>(nil)
        // Not in the address, which ends up in the logs of proxies.
        let first = Locked<[ClientFrame]>(plan.token.map { [.renew(token: $0)] } ?? [])
        do throws(SessionEnd) {
            let (code, reason) = try await self.carrier.webSocket(
                self.server, CarrierRequest("GET", self.server.target("/v1/ws", self.server.query(plan)))
            ) {
                let begin = first.with { frames in
                    defer { frames = [] }
                    return frames
                }
                if !begin.isEmpty { return begin.map { FrameCoding.text($0) } }
                return await outgoing.next()?.map { FrameCoding.text($0) }
            } receive: { bytes in
                guard let frame = FrameCoding.frame(bytes) else {
                    // An error that answers nothing: the close that follows says less.
                    if let error = FrameCoding.error(inAnswer: bytes) { refusal.with { $0 = error } }
                    return
                }
                await receive(frame)
            }
            if let error = refusal.with({ $0 }) { return .refused(error) }
            return .closed(code, reason)
        } catch {
            if let refused = refusal.with({ $0 }) { return .refused(refused) }
            return error
        }
    }

    func probe() async -> Bool {
        // Nobody's: it takes over nothing. Whether the server lets it in is not the question.
        let isThrough = Locked(false)
        let request = CarrierRequest("GET", self.server.target("/v1/ws", [("topics", "")]))
        _ = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                do throws(SessionEnd) {
                    _ = try await self.carrier.webSocket(self.server, request) {
                        // Asked for what to send: it is open.
                        isThrough.with { $0 = true }
                        return nil
                    } receive: { _ in
                    }
                } catch {}
                return true
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(5))
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
        return isThrough.with { $0 }
    }

    func shutdown() async { await self.carrier.shutdown() }
}
