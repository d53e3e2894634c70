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
    private let paths: KnownPaths

    init(services: HTTPServices) {
        self.services = services
        let router = Router(context: BasicRequestContext.self, options: .autoGenerateHeadEndpoints)
        MessageRoutes(services: services).add(to: router)
        HealthRoutes(services: services).add(to: router)
        UserRoutes(services: services).add(to: router)
        NamespaceRoutes(services: services).add(to: router)
        MetricsRoute(services: services).add(to: router)
        OpenAPIRoutes().add(to: router)
        ScriptRoutes().add(to: router)
        if services.isDev { DevRoutes().add(to: router) }
        self.paths = KnownPaths(router.routes.map { ($0.path.description, $0.method.rawValue) } + [SessionTokenAPI.route])
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
        let isHead = request.head.method == .HEAD
        let isolated = NIOLoopBound(front, eventLoop: context.eventLoop)
        let hummingbirdRequest = Request(head: head, body: RequestBody(buffer: request.body))
        Task {
            let (response, body) = await self.respond(hummingbirdRequest, channel: channel)
            channel.eventLoop.execute {
                let headers = response.headerFields.map { ($0.name.canonicalName, $0.value) }
                    .filter { $0.0.lowercased() != "content-length" && $0.0.lowercased() != "content-type" }
                isolated.value.respond(
                    status: .init(statusCode: response.status.code), contentType: response.headerFields[.contentType],
                    headers: headers, body: body,
                    length: isHead ? response.headerFields[.contentLength].flatMap { Int($0) } : nil)
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
            if response.status == .notFound, body.readableBytes == 0 {
                return self.nothing(request.uri.path, request.method.rawValue)
            }
            return (response.head, body)
        } catch let error as WireError {
            return self.errorResponse(error)
        } catch let error as any HTTPResponseError where error.status == .notFound {
            return self.nothing(request.uri.path, request.method.rawValue)
        } catch let error as any HTTPResponseError where error.status.code < 500 {
            return self.errorResponse(WireError(.badRequest, "This request is not understood."))
        } catch {
            self.services.logger.error("request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            return self.errorResponse(WireError(.internalError, "Something went wrong here; the server's log says what."))
        }
    }

    /// A path that there is not, or not for this method.
    private func nothing(_ path: String, _ method: String) -> (HTTPResponse, ByteBuffer) {
        guard let allowed = self.paths.methods(of: path) else { return self.errorResponse(Self.nothingHere) }
        var (response, body) = self.errorResponse(WireError(.methodNotAllowed, "This path takes \(allowed)."))
        response.headerFields[.allow] = allowed
        return (response, body)
    }

    private static let nothingHere = WireError(
        .notFound, "There is nothing at this path: /openapi.yaml lists those that there are.")

    private func errorResponse(_ error: WireError) -> (HTTPResponse, ByteBuffer) {
        self.services.metrics.refused(error.code)
        var fields = HTTPFields()
        fields[.contentType] = "application/json"
        if error.code.status == 401 { fields[.wwwAuthenticate] = "Bearer" }
        if let seconds = error.retryAfterSeconds { fields[.retryAfter] = String(seconds) }
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
        // The first part is not copied, and mostly it is the only one.
        if self.collected.buffer.readableBytes == 0 {
            self.collected.buffer = buffer
        } else {
            self.collected.buffer.writeImmutableBuffer(buffer)
        }
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
