import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// `GET /v1/stream?format=ndjson|multipart|iframe`.
enum StreamRequest {
    static func open(_ request: FrontRequest, front: FrontHandler) {
        let format: StreamEncoder.Format
        do throws(WireError) {
            format = try Self.format(request)
        } catch {
            return front.respond(error)
        }
        ClientAccess.caller(request, front: front) { result in
            do throws(WireError) {
                let connection = try Self.connection(request, try result.get(), format, front: front)
                front.stream { () throws(WireError) in connection }
            } catch {
                Self.refuse(error, format, front)
            }
        }
    }

    private static func format(_ request: FrontRequest) throws(WireError) -> StreamEncoder.Format {
        switch try request.query.choice("format", ["ndjson", "multipart", "iframe"]) {
        case "multipart": return .multipart
        case "iframe":
            guard let name = request.query["callback"] else {
                throw WireError(.badRequest, "Name the page's function that the frame calls: add &callback=NAME.")
            }
            return .iframe(IframePage(try CallbackName(parsing: name)))
        default: return .ndjson
        }
    }

    private static func connection(
        _ request: FrontRequest, _ caller: Caller, _ format: StreamEncoder.Format, front: FrontHandler
    ) throws(WireError) -> OneWayConnection {
        let parser = HelloParser(services: front.services, query: request.query, headers: request.head.headers)
        let own = if case .iframe = format { ["cursor", "ack", "format", "callback"] } else { ["cursor", "ack", "format"] }
        try request.query.allow(HelloParser.streaming + HelloParser.topics + own)
        var hello = try parser.hello(caller, ackMode: .none)
        hello.transport = .stream
        return OneWayConnection(
            front: front, hello: hello,
            encoder: StreamEncoder(format, seq: hello.ackMode == .explicit, visibleHeartbeat: try parser.visibleHeartbeat()),
            corsLines: front.services.origins.lines(request.head.headers))
    }

    /// A page sees what a frame calls, not its status; everybody else gets the usual answer.
    private static func refuse(_ error: WireError, _ format: StreamEncoder.Format, _ front: FrontHandler) {
        guard case .iframe(let page) = format else { return front.respond(error) }
        front.services.metrics.refused(error.code)
        front.respond(
            status: .init(statusCode: error.code.status), contentType: IframePage.contentType, headers: page.headers + error.fields,
            body: page.only(ByteBuffer(bytes: error.json)))
    }
}
