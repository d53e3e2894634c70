import HTTPTypes
import Hummingbird
import MartletCore
import MartletWire
import NIOCore

/// `GET` and `DELETE /v1/messages/{id}`.
struct MessageRoutes {
    let services: HTTPServices

    func add(to router: Router<BasicRequestContext>) {
        router.get("/v1/messages/{id}") { request, context in
            try await self.status(request, id: try Self.id(context))
        }
        router.delete("/v1/messages/{id}") { request, context in
            try await self.recall(request, id: try Self.id(context))
        }
    }

    private static let unknown = WireError(.notFound, "There is no such message, or its record is older than a day past its expiry.")

    private static func id(_ context: BasicRequestContext) throws -> MessageID {
        guard let text = context.parameters.get("id"), let id = MessageID(text) else { throw Self.unknown }
        return id
    }

    // MARK: Status

    private func status(_ request: Request, id: MessageID) async throws -> Response {
        let app = try KeyAccess.grant(.read, .init(request.head), self.services).app
        let query = QueryString(Substring(request.uri.query ?? ""))
        try query.allow(["wait", "limit", "after"])
        let wait = try query.number("wait", default: 0, 0...self.services.limits.waitMaxSeconds)
        let limit = try query.number("limit", default: 100, 1...1_000)
        let after = try query.name("after", limit: self.services.limits.nameBytes)
        let known = request.headers[.ifNoneMatch]
        let deadline = ContinuousClock.now + .seconds(wait)
        // Without a known tag, a change from now on is waited for.
        var baseline: String?
        while true {
            // Watched before it is read, so that no change falls in between.
            let change = wait > 0 ? Change() : nil
            let (status, watch) = try await self.read(id, app: app, limit: limit, after: after, watch: change)
            defer { if let watch { self.services.desk.unwatch(watch) } }
            let body = StatusJSON.bytes(status)
            let tag = EntityTag.of(body)
            baseline = baseline ?? tag
            let isKnown = EntityTag.matches(known, tag)
            if let change, known == nil ? tag == baseline : isKnown, await change.wait(until: deadline) { continue }
            return isKnown
                ? Response(status: .notModified, headers: [.eTag: tag, .cacheControl: "no-cache"])
                : Self.answer(body, tag: tag)
        }
    }

    private func read(
        _ id: MessageID, app: AppID, limit: Int, after: String?, watch change: Change?
    ) async throws -> (MessageStatus, UInt64?) {
        var status = try await self.read(id, app: app, limit: limit, after: after)
        guard let change else { return (status, nil) }
        let watch = self.services.desk.watch(status.targets) { change.wake() }
        do {
            status = try await self.read(id, app: app, limit: limit, after: after)
        } catch {
            self.services.desk.unwatch(watch)
            throw error
        }
        return (status, watch)
    }

    private func read(_ id: MessageID, app: AppID, limit: Int, after: String?) async throws -> MessageStatus {
        let result = await withCheckedContinuation { continuation in
            self.services.desk.status(id, app: app, limit: limit, after: after) { continuation.resume(returning: $0) }
        }
        switch result {
        case .success(let status?) where !status.targets.isEmpty: return status
        // Nor of a topic's message: nobody is known to be addressed by it.
        case .success: throw Self.unknown
        case .failure: throw WireError(.storeUnavailable, "The store cannot be read now: try again in a moment.")
        }
    }

    private static func answer(_ body: [UInt8], tag: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "application/json", .eTag: tag, .cacheControl: "no-cache"],
            body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }

    // MARK: Recall

    private func recall(_ request: Request, id: MessageID) async throws -> Response {
        let app = try KeyAccess.grant(.publish, .init(request.head), self.services).app
        try QueryString(Substring(request.uri.query ?? "")).allow([])
        let result = await withCheckedContinuation { continuation in
            self.services.desk.recall(id, app: app) { continuation.resume(returning: $0) }
        }
        switch result {
        case .success(let outcome?):
            let state = outcome == .recalled ? "recalled" : "expired"
            return Response(
                status: .ok, headers: [.contentType: "application/json"],
                body: .init(byteBuffer: ByteBuffer(string: #"{"id":"\#(id)","state":"\#(state)"}"# + "\n")))
        case .success(nil): throw Self.unknown
        case .failure: throw WireError(.storeUnavailable, "The store cannot be written now: try again in a moment.")
        }
    }
}
