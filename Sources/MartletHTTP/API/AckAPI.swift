import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `POST /v1/ack` and `GET /ramen/ack`.
enum AckAPI {
    static func ack(_ request: FrontRequest, front: FrontHandler) {
        guard let done = Self.answer(front) else { return }
        do throws(WireError) {
            try request.query.allow(HelloParser.who)
            let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
            let identity = try parser.requiredDevice()
            switch try AckBody(parsing: request.body) {
            case .cursor(let cursor):
                front.services.gateway.ack(
                    cursor, app: .dev, user: identity.user, device: identity.device, done: done)
            case .seqs(let ack, let session):
                front.services.gateway.ack(ack, session: session, app: .dev, device: identity.device, done: done)
            }
        } catch {
            front.respond(error)
        }
    }

    static func ramenAck(_ request: FrontRequest, front: FrontHandler) {
        guard let done = Self.answer(front) else { return }
        do throws(WireError) {
            try request.query.allow(HelloParser.who + ["seq"])
            let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
            let identity = try parser.requiredDevice()
            front.services.gateway.ack(
                ramen: try parser.ramenSeq(), app: .dev, user: identity.user, device: identity.device, done: done)
        } catch {
            front.respond(error)
        }
    }

    /// Answers on the connection's loop, whatever thread the ack ends on.
    private static func answer(_ front: FrontHandler) -> (@Sendable (WireError?) -> Void)? {
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
