import MartletHTTP
import MartletWire
import Testing

struct WebSocketHandshakeTests {
    private let good: [WebSocketHandshake.Header] = [
        ("Host", "server.example.com"), ("upgrade", "WebSocket"), ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Version", " 13 "),
    ]

    /// RFC 6455 §1.3.
    @Test func accepted() throws {
        #expect(WebSocketHandshake.acceptKey(for: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        let answer = try WebSocketHandshake.accept(method: "GET", headers: self.good)
        #expect(answer.map(\.name) == ["Upgrade", "Connection", "Sec-WebSocket-Accept"])
        #expect(answer.map(\.value) == ["websocket", "Upgrade", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
    }

    @Test func subprotocols() throws {
        let answer = try WebSocketHandshake.accept(
            method: "GET", headers: self.good, protocols: ["x", "superchat", "chat"])
        #expect(answer.last?.name == "Sec-WebSocket-Protocol" && answer.last?.value == "superchat")
        let none = try WebSocketHandshake.accept(method: "GET", headers: self.good, protocols: ["x"])
        #expect(none.count == 3)
    }

    private func refusal(method: String = "GET", _ change: (inout [WebSocketHandshake.Header]) -> Void)
        -> WebSocketHandshake.Refusal?
    {
        var headers = self.good
        change(&headers)
        do throws(WebSocketHandshake.Refusal) {
            _ = try WebSocketHandshake.accept(method: method, headers: headers)
            return nil
        } catch {
            return error
        }
    }

    @Test func refused() {
        #expect(self.refusal(method: "POST") { _ in }?.error.code == .methodNotAllowed)
        #expect(self.refusal { $0.remove(at: 1) }?.error.code == .upgradeRequired)
        #expect(self.refusal { $0[1].value = "websockets" }?.error.code == .upgradeRequired)
        #expect(self.refusal { $0[2].value = "keep-alive" }?.error.code == .upgradeRequired)
        for version in ["12", "13, 8", "", "013"] {
            let refusal = self.refusal { $0[5].value = version }
            #expect(refusal?.error.code == .upgradeRequired)
            #expect(refusal?.headers.contains { $0.name == "Sec-WebSocket-Version" && $0.value == "13" } == true)
        }
        #expect(self.refusal { $0.remove(at: 5) }?.error.code == .upgradeRequired)
        #expect(self.refusal { $0.remove(at: 3) }?.error.code == .badRequest)
        #expect(self.refusal { $0.append($0[3]) }?.error.code == .badRequest)
        // 15 and 17 bytes, stray bits, another alphabet, no padding, nothing.
        for key in [
            "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZWU=", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZ_==",
            "dGhlIHNhbXBsZSBub25jZQ", "",
        ] {
            #expect(self.refusal { $0[3].value = key }?.error.code == .badRequest, "\(key)")
        }
    }
}
