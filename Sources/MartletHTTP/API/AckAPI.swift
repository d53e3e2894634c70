import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `POST /v1/ack` and `GET /ramen/ack`.
enum AckAPI {
    static func ack(_ request: FrontRequest, front: FrontHandler) {
        self.answer(request, front) { (caller, done) throws(WireError) in
            try request.query.allow(HelloParser.who)
            let device = try caller.requiredDevice()
            switch try AckBody(parsing: request.body) {
            case .cursor(let cursor):
                front.services.gateway.ack(cursor, app: caller.app, user: caller.user, device: device, done: done)
            case .seqs(let ack, let session):
                front.services.gateway.ack(
                    ack, session: session, app: caller.app, user: caller.user, device: device, done: done)
            }
        }
    }

    static func ramenAck(_ request: FrontRequest, front: FrontHandler) {
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        self.answer(request, front) { (caller, done) throws(WireError) in
            try request.query.allow(HelloParser.who + ["seq"])
            front.services.gateway.ack(
                ramen: try parser.ramenSeq(), app: caller.app, user: caller.user, device: try caller.requiredDevice(),
                done: done)
        }
    }

    private typealias Done = @Sendable (WireError?) -> Void

    private static func answer(
        _ request: FrontRequest, _ front: FrontHandler, _ body: @escaping (Caller, @escaping Done) throws(WireError) -> Void
    ) {
        guard let done = Self.answer(front) else { return }
        ClientAccess.caller(request, front: front) { result in
            do throws(WireError) { try body(try result.get(), done) } catch { front.respond(error) }
        }
    }

    /// Answers on the connection's loop, whatever thread the ack ends on.
    private static func answer(_ front: FrontHandler) -> Done? {
        guard let loop = front.context?.eventLoop else { return nil }
        let bound = NIOLoopBound(front, eventLoop: loop)
        return { error in
            loop.execute {
                if let error {
                    bound.value.respond(error)
                } else {
                    bound.value.respond(status: .noContent, contentType: nil)
                }
            }
        }
    }
}

extension AckBody {
    fileprivate init(parsing body: ByteBuffer) throws(WireError) {
        self = try body.withUnsafeReadableBytesTyped { (bytes) throws(WireError) in try AckBody(parsing: bytes) }
    }
}
