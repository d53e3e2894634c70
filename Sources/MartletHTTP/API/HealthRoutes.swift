import Hummingbird
import MartletCore
import MartletNet
import NIOCore

/// `/healthz` (alive) and `/readyz` (ready for work).
struct HealthRoutes {
    let services: HTTPServices

    func add(to router: Router<BasicRequestContext>) {
        let services = self.services
        router.get("/healthz") { _, _ in Self.answer("ok", .ok) }
        router.get("/readyz") { _, _ in
            if services.desk.isDraining { return Self.answer("draining", .serviceUnavailable) }
            if !services.isStoreReady() { return Self.answer("store_unavailable", .serviceUnavailable) }
            let gate = services.edge.gate
            if gate.isNearlyFull {
                return Self.answer(
                    "too_many_connections", .serviceUnavailable, #","connections":\#(gate.count),"limit":\#(gate.limit)"#)
            }
            return Self.answer("ready", .ok)
        }
    }

    private static func answer(_ status: String, _ code: HTTPResponse.Status, _ more: String = "") -> Response {
        Response(
            status: code, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(string: #"{"status":"\#(status)"\#(more)}"# + "\n")))
    }
}

/// What only dev mode has: the page at `/`.
struct DevRoutes {
    func add(to router: Router<BasicRequestContext>) {
        router.get("/") { _, _ in
            Response(
                status: .ok,
                headers: [
                    .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
                ],
                body: .init(byteBuffer: ByteBuffer(string: DevPage.html)))
        }
    }
}
