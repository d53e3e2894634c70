import Hummingbird
import MartletCore
import MartletWire
import NIOCore

/// `GET /metrics`: the server's numbers as Prometheus text.
struct MetricsRoute {
    let services: HTTPServices

    func add(to router: Router<BasicRequestContext>) {
        guard let text = self.services.metricsText else { return }
        router.get("/metrics") { request, _ in
            // In dev mode, or if they are open, no key is asked for.
            if !self.services.isMetricsOpen { _ = try KeyAccess.grant(.read, .init(request.head), self.services) }
            return Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
                body: .init(byteBuffer: ByteBuffer(string: text())))
        }
    }
}
