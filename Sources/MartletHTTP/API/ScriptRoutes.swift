import Hummingbird
import NIOCore

/// `GET /martlet.js`: the client for web pages, as it is in sdk/js.
struct ScriptRoutes {
    private static let body = Self.text.withUTF8Buffer { ByteBuffer(bytes: $0) }
    private static let tag = EntityTag.of(Self.body.readableBytesView)

    func add(to router: Router<BasicRequestContext>) {
        router.get("/martlet.js") { request, _ in
            // Public, and the same for everybody: any page may load it as a module, which browsers do only with CORS.
            var headers: HTTPFields = [.eTag: Self.tag, .cacheControl: "public, max-age=300", .accessControlAllowOrigin: "*"]
            if EntityTag.matches(request.headers[.ifNoneMatch], Self.tag) { return Response(status: .notModified, headers: headers) }
            headers[.contentType] = "text/javascript; charset=utf-8"
            headers[.xContentTypeOptions] = "nosniff"
            return Response(status: .ok, headers: headers, body: .init(byteBuffer: Self.body))
        }
    }
}
