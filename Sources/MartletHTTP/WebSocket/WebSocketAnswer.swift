import MartletNet
import MartletWire
import NIOHTTP1

/// What a WebSocket's handshake is answered.
struct WebSocketAnswer {
    var headers: [WebSocketHandshake.Header]
    /// How messages may be compressed; nil: not at all.
    var deflate: DeflateAgreement?

    /// - Parameter subProtocol: what is carried instead of our own messages; then nothing is compressed.
    init(_ request: FrontRequest, _ front: FrontHandler, carrying subProtocol: String? = nil) throws(WireError) {
        if front.peer.isStream {
            throw WireError(.upgradeRequired, "A WebSocket is opened over HTTP/1.1, not over HTTP/2: offer http/1.1 only in TLS.")
        }
        let fields = request.head.headers
        do throws(WebSocketHandshake.Refusal) {
            self.headers = try WebSocketHandshake.accept(
                method: request.head.method.rawValue, headers: fields.map { ($0.name, $0.value) }, protocols: subProtocol.map { [$0] } ?? [])
        } catch {
            throw error.error
        }
        guard subProtocol == nil else { return }
        do throws(DeflateAgreement.Malformed) {
            self.deflate = try front.services.deflate.agreement(fields["sec-websocket-extensions"])
        } catch {
            throw WireError(.badRequest, "Sec-WebSocket-Extensions must be a list of extensions (RFC 6455 §9.1).")
        }
        if let deflate = self.deflate { self.headers.append(("Sec-WebSocket-Extensions", deflate.answer)) }
    }
}
