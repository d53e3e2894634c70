import Hummingbird
import NIOCore

/// `GET /openapi.yaml`: what this server speaks over HTTP (OpenAPI 3.1), for people and for makers of clients.
struct OpenAPIRoutes {
    private static let body = Self.text.withUTF8Buffer { ByteBuffer(bytes: $0) }
    private static let tag = EntityTag.of(Self.body.readableBytesView)

    func add(to router: Router<BasicRequestContext>) {
        router.get("/openapi.yaml") { request, _ in
            // Answers to pages of other origins have more fields, and a cache that all share must tell them apart.
            let cache: HTTPFields = [.eTag: Self.tag, .cacheControl: "public, max-age=300", .vary: "Origin"]
            if EntityTag.matches(request.headers[.ifNoneMatch], Self.tag) { return Response(status: .notModified, headers: cache) }
            var headers = cache
            headers[.contentType] = "application/yaml"
            return Response(status: .ok, headers: headers, body: .init(byteBuffer: Self.body))
        }
    }
}
