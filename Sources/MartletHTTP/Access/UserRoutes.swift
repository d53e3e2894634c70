import HTTPTypes
import Hummingbird
import MartletCore
import MartletWire
import NIOCore

/// `POST /v1/users/{id}/disconnect`: ends a user's sessions, and takes back tokens.
struct UserRoutes {
    let services: HTTPServices

    func add(to router: Router<BasicRequestContext>) {
        router.post("/v1/users/{id}/disconnect") { request, context in
            let app = try KeyAccess.grant(.admin, .init(request.head), self.services).app
            try QueryString(Substring(request.uri.query ?? "")).allow([])
            let user = QueryString.decode(Substring(context.parameters.get("id") ?? ""), plusIsSpace: false)
            if let problem = nameProblem(user, limit: self.services.limits.nameBytes) {
                throw WireError(.badRequest, "The user \(problem).", limit: self.services.limits.nameBytes)
            }
            let body = try await request.body.collect(upTo: self.services.limits.messageBytes)
            return try await self.disconnect(user, app, DisconnectBody(body, services: self.services))
        }
    }

    private func disconnect(_ user: String, _ app: AppID, _ body: DisconnectBody) async throws -> Response {
        if let before = body.revokeBeforeMs {
            let error = await withCheckedContinuation { continuation in
                self.services.gatekeeper.revoke(app: app, user: user, device: body.device, beforeMs: before) {
                    continuation.resume(returning: $0)
                }
            }
            if let error { throw error }
        }
        // After the revocation, so that nobody comes back in between.
        let count = await withCheckedContinuation { continuation in
            self.services.gateway.disconnect(app: app, user: user, device: body.device) { continuation.resume(returning: $0) }
        }
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: #"{"sessions":\#(count)}"# + "\n")))
    }
}

/// `{"revokeBefore": 1763690947, "device": "a1"}`; both may be left out, and so may the whole.
struct DisconnectBody: Equatable {
    /// Unix time in milliseconds.
    var revokeBeforeMs: Int64?
    var device: String?

    private static let shape = WireError(
        .badRequest, "The body is empty, or {\"revokeBefore\":UNIXSECONDS or \"now\",\"device\":\"a1\"}; both members may be left out.")

    /// - Throws: `invalid_json`, `bad_request`.
    init(_ body: ByteBuffer, services: HTTPServices) throws(WireError) {
        guard body.readableBytes > 0 else { return }
        let limit = services.limits.nameBytes
        let now = services.wall()
        self = try body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in
            var parsed = DisconnectBody()
            for (key, value) in try JSON.object(in: bytes, maxDepth: 4) {
                if key.equals("revokeBefore"), parsed.revokeBeforeMs == nil {
                    parsed.revokeBeforeMs = try Self.time(value, now: now)
                } else if key.equals("device"), parsed.device == nil, let name = value.string {
                    if let problem = nameProblem(name, limit: limit) {
                        throw WireError(.badRequest, "\"device\" \(problem).", limit: limit)
                    }
                    parsed.device = name
                } else {
                    throw Self.shape
                }
            }
            return parsed
        }
    }

    private init() {}

    /// By how much the back end's clock may be ahead of this one.
    private static let aheadMs: Int64 = 60_000

    /// `"now"` takes back all that exist: tokens say in whole seconds when they were issued, so the present second counts.
    private static func time(_ value: JSONValue, now: Int64) throws(WireError) -> Int64 {
        if value.equals("now") { return (now / 1_000 + 1) * 1_000 }
        guard let seconds = value.unsigned, seconds < 100_000_000_000 else { throw Self.shape }
        // What is not issued yet would be taken back too: the user could not come back.
        guard Int64(seconds) * 1_000 <= now + Self.aheadMs else {
            throw WireError(
                .badRequest,
                "\"revokeBefore\" is a Unix time in seconds, and this one is in the future: nobody could sign in before it. Use \"now\".",
                limit: Int(Self.aheadMs / 1_000))
        }
        return Int64(seconds) * 1_000
    }
}
