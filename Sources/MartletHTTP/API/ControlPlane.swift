import HTTPTypes
import Hummingbird
import Logging
import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1

/// The paths that are asked now and then: a Hummingbird router, run in a short task for each request.
struct ControlPlane: Sendable {
    private let responder: any HTTPResponder<BasicRequestContext>
    private let services: HTTPServices

    init(services: HTTPServices) {
        self.services = services
        let router = Router(context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
        MessageRoutes(services: services).add(to: router)
        HealthRoutes(services: services).add(to: router)
        UserRoutes(services: services).add(to: router)
        if services.isDev { DevRoutes().add(to: router) }
        self.responder = router.buildResponder()
    }

    /// Answers on the connection's event loop.
    func answer(_ request: FrontRequest, front: FrontHandler) {
        guard let context = front.context,
            let head = try? HTTPRequest(request.head, secure: false, splitCookie: false)
        else {
            front.respond(WireError(.badRequest, "This request cannot be read."), close: true)
            return
        }
        let channel = context.channel
        let isolated = NIOLoopBound(front, eventLoop: context.eventLoop)
        let hummingbirdRequest = Request(head: head, body: RequestBody(buffer: request.body))
        Task {
            let (response, body) = await self.respond(hummingbirdRequest, channel: channel)
            channel.eventLoop.execute {
                let headers = response.headerFields.map { ($0.name.canonicalName, $0.value) }
                    .filter { $0.0.lowercased() != "content-length" && $0.0.lowercased() != "content-type" }
                isolated.value.respond(
                    status: .init(statusCode: response.status.code), contentType: response.headerFields[.contentType],
                    headers: headers, body: body)
            }
        }
    }

    private func respond(_ request: Request, channel: any Channel) async -> (HTTPResponse, ByteBuffer) {
        var logger = self.services.logger
        logger[metadataKey: "hb.request.id"] = "\(UInt64.random(in: .min ... .max))"
        let context = BasicRequestContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
        do {
            let response = try await self.responder.respond(to: request, context: context)
            let writer = CollectingWriter()
            try await response.body.write(writer)
            let body = writer.collected.buffer
            // The router's own refusals have no body.
            if response.status == .notFound, body.readableBytes == 0 { return Self.errorResponse(Self.nothingHere) }
            if response.status == .methodNotAllowed, body.readableBytes == 0 {
                return Self.errorResponse(WireError(.methodNotAllowed, "This path does not take \(request.method.rawValue)."))
            }
            return (response.head, body)
        } catch let error as WireError {
            return Self.errorResponse(error)
        } catch let error as any HTTPResponseError where error.status == .notFound {
            return Self.errorResponse(Self.nothingHere)
        } catch let error as any HTTPResponseError where error.status.code < 500 {
            return Self.errorResponse(WireError(.badRequest, "This request is not understood."))
        } catch {
            self.services.logger.error("request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            return Self.errorResponse(WireError(.internalError, "Something went wrong here; the server's log says what."))
        }
    }

    private static let nothingHere = WireError(
        .notFound, "There is nothing at this path: docs/protocol.md lists those that there are.")

    static func errorResponse(_ error: WireError) -> (HTTPResponse, ByteBuffer) {
        var fields = HTTPFields()
        fields[.contentType] = "application/json"
        if error.code.isTemporary { fields[.retryAfter] = "1" }
        if error.code.status == 401 { fields[.wwwAuthenticate] = "Bearer" }
        return (HTTPResponse(status: .init(code: error.code.status), headerFields: fields), ErrorJSON.buffer(error))
    }
}

/// Collects a response body; the control plane's are small.
private struct CollectingWriter: ResponseBodyWriter {
    final class Collected {
        var buffer = ByteBuffer()
    }

    let collected = Collected()

    mutating func write(_ buffer: ByteBuffer) async throws {
        var buffer = buffer
        self.collected.buffer.writeBuffer(&buffer)
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
