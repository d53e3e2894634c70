import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `POST /v1/sessions/{id}/token`: a newer token for a live session whose connection only goes one way.
enum SessionTokenAPI {
    static let route = (path: "/v1/sessions/{id}/token", method: "POST")

    /// The session that a path names; nil for any other path.
    static func session(_ path: Substring) -> String? {
        guard path.begins(with: "/v1/sessions/") else { return nil }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "v1", parts[2] == "sessions", parts[4] == "token", !parts[3].isEmpty else { return nil }
        return String(parts[3])
    }

    /// The token is the request's own: it says who asks, and is what the session goes on with.
    static func renew(_ request: FrontRequest, front: FrontHandler) {
        guard let session = Self.session(request.path), let loop = front.context?.eventLoop else { return }
        let bound = NIOLoopBound(front, eventLoop: loop)
        ClientAccess.caller(request, front: front) { result in
            do throws(WireError) {
                let caller = try result.get()
                try request.query.allow(["user", "device"])
                guard let user = caller.user else {
                    throw WireError(.unauthorized, "Say whose session it is: add ?user=NAME.")
                }
                front.services.gateway.renew(
                    session: session, app: caller.app, user: user, device: caller.device, expiresAtMs: caller.expiresAtMs,
                    rights: caller.rights
                ) { error in
                    loop.execute {
                        if let error {
                            bound.value.respond(error)
                        } else {
                            bound.value.respond(status: .noContent, contentType: nil)
                        }
                    }
                }
            } catch {
                front.respond(error)
            }
        }
    }
}
