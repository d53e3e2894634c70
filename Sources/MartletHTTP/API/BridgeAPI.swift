import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `GET` at the path of a bridge: the answer of a polled URL, for those who still poll.
enum BridgeAPI {
    static func answer(_ request: FrontRequest, _ path: BridgePath, front: FrontHandler) {
        guard request.head.method == .GET || request.head.method == .HEAD else { return front.methodNotAllowed("GET, HEAD") }
        do throws(WireError) {
            try request.query.allow(HelloParser.who)
        } catch {
            return front.respond(error)
        }
        guard !path.isPublic else { return self.answer(request, path, user: nil, front: front) }
        guard let topic = path.topic else {
            ClientAccess.caller(request, front: front) { result in
                self.checked(request, path, front: front) { () throws(WireError) in
                    let caller = try result.get()
                    guard let user = caller.user else { throw WireError(.unauthorized, "Say which user asks.") }
                    return (caller.app, user)
                }
            }
            return
        }
        TopicAPI.asker(request, .read, front: front) { result in
            self.checked(request, path, front: front) { () throws(WireError) in
                let asker = try result.get()
                if asker.app == path.app { try asker.check(.subscribe, topic, front.services) }
                return (asker.app, nil)
            }
        }
    }

    private static func checked(
        _ request: FrontRequest, _ path: BridgePath, front: FrontHandler, _ check: () throws(WireError) -> (AppID, user: String?)
    ) {
        do throws(WireError) {
            let (app, user) = try check()
            // What is of one app does not exist for the others.
            guard app == path.app else { throw WireError(.notFound, "There is nothing at this path: /openapi.yaml lists those that there are.") }
            self.answer(request, path, user: user, front: front)
        } catch {
            front.respond(error)
        }
    }

    private static func answer(_ request: FrontRequest, _ path: BridgePath, user: String?, front: FrontHandler) {
        guard let desk = front.services.bridges, let loop = front.context?.eventLoop else { return }
        let bound = NIOLoopBound((request, front), eventLoop: loop)
        desk.answer(path, user: user) { result in
            loop.execute {
                let (request, front) = bound.value
                switch result {
                case .success(let answer): self.respond(answer, to: request.head.headers, path, front: front)
                case .failure(let error): front.respond(error)
                }
            }
        }
    }

    private static func respond(_ answer: PolledAnswer, to asked: HTTPHeaders, _ path: BridgePath, front: FrontHandler) {
        var headers = [
            ("etag", answer.tag), ("cache-control", "\(path.isPublic ? "public" : "private"), max-age=\(answer.maxAgeSeconds)"),
            ("age", String(answer.ageSeconds)),
            // It is another server's, on this server's origin: no browser takes it for a page of it.
            ("x-content-type-options", "nosniff"), ("content-security-policy", "default-src 'none'; sandbox"),
        ]
        if let lastModified = answer.lastModified { headers.append(("last-modified", lastModified)) }
        if let reason = answer.staleBecause {
            // RFC 9211: a hit though it is not fresh any more.
            headers.append(("cache-status", "Martlet; hit; ttl=-\(answer.ageSeconds); detail=\"\(reason)\""))
        }
        if self.isKnown(answer, asked) { return front.respond(status: .notModified, contentType: nil, headers: headers) }
        front.respond(
            status: .ok, contentType: answer.contentType ?? "text/plain; charset=utf-8", headers: headers, body: ByteBuffer(bytes: answer.body))
    }

    /// RFC 9110 §13.2.2: the tag counts before the date.
    private static func isKnown(_ answer: PolledAnswer, _ asked: HTTPHeaders) -> Bool {
        if asked.contains(name: "if-none-match") {
            return EntityTag.matches(asked[canonicalForm: "if-none-match"].joined(separator: ","), answer.tag)
        }
        guard let date = asked.first(name: "if-modified-since") else { return false }
        return date == answer.lastModified
    }
}
