import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// WebSockets that carry another protocol: who asks for one names it as sub-protocol (RFC 6455 §1.9).
extension WebSocketCarrier {
    /// Bytes of a message beside what it publishes: a protocol's own, and what a client joins to it.
    private static let otherBytes = 65_536

    /// The first sub-protocol of a request's list that is carried here.
    static func wanted(_ request: FrontRequest, _ services: HTTPServices) -> String? {
        guard !services.byteStreams.isEmpty else { return nil }
        return request.head.headers[canonicalForm: "sec-websocket-protocol"].map(String.init).first { services.byteStreams[$0] != nil }
    }

    /// `GET /mqtt`, and `GET /v1/ws` with a sub-protocol that is carried here.
    ///
    /// - Parameter name: nil if the request names none; it is refused.
    static func open(_ request: FrontRequest, as name: String?, front: FrontHandler) {
        front.stream { () throws(WireError) in
            let services = front.services
            let answer = try WebSocketAnswer(request, front, carrying: name)
            try request.query.allow(["token"])
            guard !services.byteStreams.isEmpty else {
                throw WireError(.notFound, "This server speaks no other protocol in a WebSocket: use /v1/ws.")
            }
            guard let name, let service = services.byteStreams[name] else {
                let names = services.byteStreams.keys.sorted().joined(separator: ", ")
                throw WireError(
                    .badRequest, "A WebSocket of this path carries another protocol, and must say which: send Sec-WebSocket-Protocol: \(names).")
            }
            let access = ClientAccess(request, services)
            try access.refuseForeign()
            return WebSocketCarrier(
                service, answer: answer.headers, messageBytes: services.limits.messageBytes + Self.otherBytes, state: front.state, peer: front.peer,
                credential: try access.token())
        }
    }
}
