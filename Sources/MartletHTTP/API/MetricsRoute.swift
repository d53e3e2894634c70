import Hummingbird
import MartletWire
import NIOCore

/// `GET /metrics`: the server's numbers as Prometheus text.
struct MetricsRoute {
    let services: HTTPServices

    func add(to router: Router<BasicRequestContext>) {
        guard let text = self.services.metricsText else { return }
        router.get("/metrics") { request, _ in
            if let refusal = self.refusal(request) { throw refusal }
            return Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
                body: .init(byteBuffer: ByteBuffer(string: text())))
        }
    }

    /// Why a request may not read the metrics; nil if it may: in dev mode, if they are open, or with a key of scope `read`.
    private func refusal(_ request: Request) -> WireError? {
        if self.services.isDev || self.services.isMetricsOpen { return nil }
        return WireError(.unauthorized, "Reading the metrics needs an API key with the scope read.")
    }
}
