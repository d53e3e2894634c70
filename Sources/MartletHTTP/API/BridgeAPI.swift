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
        // Who wants to know what waits for them is a client, whoever may have the answer.
        if PiggybackClient.isAsked(request.head.headers) || !path.isPublic && path.topic == nil {
            ClientAccess.caller(request, front: front) { result in
                self.checked(request, path, front: front) { () throws(WireError) in
                    let caller = try result.get()
                    try self.check(caller, path, front.services)
                    return caller
                }
            }
            return
        }
        guard !path.isPublic, let topic = path.topic else { return self.answer(request, path, nil, front: front) }
        TopicAPI.asker(request, .read, front: front) { result in
            self.checked(request, path, front: front) { () throws(WireError) in
                let asker = try result.get()
                guard asker.app == path.app else { throw self.nothing }
                try asker.check(.subscribe, topic, front.services)
                return nil
            }
        }
    }

    // What is of one app does not exist for the others.
    private static let nothing = WireError(.notFound, "There is nothing at this path: /openapi.yaml lists those that there are.")

    private static func check(_ caller: Caller, _ path: BridgePath, _ services: HTTPServices) throws(WireError) {
        guard caller.app == path.app else { throw self.nothing }
        if let topic = path.topic {
            guard !path.isPublic else { return }
            try TopicAPI.Asker(app: caller.app, keyID: nil, user: caller.user, rights: caller.rights).check(.subscribe, topic, services)
        } else if caller.user == nil {
            throw WireError(.unauthorized, "Say which user asks.")
        }
    }

    private static func checked(
        _ request: FrontRequest, _ path: BridgePath, front: FrontHandler, _ check: () throws(WireError) -> Caller?
    ) {
        do throws(WireError) {
            self.answer(request, path, try check(), front: front)
        } catch {
            front.respond(error)
        }
    }

    private static func answer(_ request: FrontRequest, _ path: BridgePath, _ caller: Caller?, front: FrontHandler) {
        guard let desk = front.services.bridges, let loop = front.context?.eventLoop else { return }
        let bound = NIOLoopBound((request, front), eventLoop: loop)
        desk.answer(path, user: path.topic == nil ? caller?.user : nil) { result in
            loop.execute {
                let (request, front) = bound.value
                switch result {
                case .success(let answer): self.respond(answer, to: request, caller, path, front: front)
                case .failure(let error): front.respond(error)
                }
            }
        }
    }

    private static func respond(_ answer: PolledAnswer, to request: FrontRequest, _ caller: Caller?, _ path: BridgePath, front: FrontHandler) {
        let headers = request.head.headers
        // It may have gone while the answer was waited for.
        guard let caller, PiggybackClient.isAsked(headers), front.context != nil else {
            // A browser's cache looks at the URL and not at who asks: its next user must not get what is there.
            let fields =
                path.isPublic
                ? [("cache-control", "public, max-age=\(answer.maxAgeSeconds)"), ("vary", "Martlet-Cursor, Origin")]
                : [("cache-control", "private, no-cache"), ("vary", "Authorization, Cookie, Martlet-Cursor, Origin")]
            return self.respond(answer, to: headers, fields, front: front)
        }
        PiggybackClient.start(request, caller, front: front) { fields in
            self.respond(answer, to: headers, [("cache-control", "no-store")] + fields, front: front)
        }
    }

    private static func respond(_ answer: PolledAnswer, to asked: HTTPHeaders, _ fields: [(String, String)], front: FrontHandler) {
        var headers = [
            ("etag", answer.tag), ("age", String(answer.ageSeconds)),
            // It is another server's, on this server's origin: no browser takes it for a page of it.
            ("x-content-type-options", "nosniff"), ("content-security-policy", "default-src 'none'; sandbox"),
        ]
        headers += fields
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
