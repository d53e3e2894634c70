import Crypto
package import MartletWire

/// The HTTP part of a WebSocket (RFC 6455 §4.2). Works on plain values.
package enum WebSocketHandshake {
    package typealias Header = (name: String, value: String)

    /// An upgrade that cannot be made: the error to answer, and header fields that go with it.
    package struct Refusal: Error {
        package var error: WireError
        package var headers: [Header]
    }

    /// Checks a request and says what to answer.
    ///
    /// - Parameters:
    ///   - headers: of the request, in their order; untrusted.
    ///   - protocols: subprotocols of the server, best first. Without a common one none is chosen.
    /// - Returns: the header fields of the `101` answer.
    package static func accept(
        method: String, headers: [Header], protocols: [String] = []
    ) throws(Refusal) -> [Header] {
        guard method == "GET" else {
            throw self.refusal(.methodNotAllowed, "A WebSocket is opened with GET.", [("Allow", "GET")])
        }
        guard self.tokens("Upgrade", headers).contains(where: { self.equal($0, "websocket") }),
            self.tokens("Connection", headers).contains(where: { self.equal($0, "upgrade") })
        else {
            throw self.refusal(
                .upgradeRequired,
                "This path speaks WebSocket: send \"Connection: Upgrade\" and \"Upgrade: websocket\".",
                [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")])
        }
        guard self.values("Sec-WebSocket-Version", headers) == ["13"] else {
            throw self.refusal(
                .upgradeRequired, "Use version 13 of WebSocket (RFC 6455).", [("Sec-WebSocket-Version", "13")])
        }
        let keys = self.values("Sec-WebSocket-Key", headers)
        guard keys.count == 1, let key = keys.first, self.isKey(key) else {
            throw self.refusal(.badRequest, "Sec-WebSocket-Key must be there once, as the base64 of 16 bytes.")
        }
        var answer: [Header] = [
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", self.acceptKey(for: key)),
        ]
        let offered = self.tokens("Sec-WebSocket-Protocol", headers)
        if let chosen = protocols.first(where: { offered.contains($0) }) {
            answer.append(("Sec-WebSocket-Protocol", chosen))
        }
        return answer
    }

    /// Whether a request asks for a WebSocket at all.
    package static func isUpgrade(_ headers: [Header]) -> Bool {
        self.tokens("Upgrade", headers).contains { self.equal($0, "websocket") }
    }

    /// What shows the client that its key was understood (RFC 6455 §4.2.2, 5.4).
    package static func acceptKey(for key: String) -> String {
        let digest = Insecure.SHA1.hash(data: Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
        return self.base64(Array(digest))
    }

    private static func refusal(_ code: ErrorCode, _ message: String, _ headers: [Header] = []) -> Refusal {
        Refusal(error: WireError(code, message), headers: headers)
    }

    private static func values(_ name: String, _ headers: [Header]) -> [String] {
        headers.filter { self.equal($0.name, name) }.map { self.trimmed($0.value) }
    }

    private static func tokens(_ name: String, _ headers: [Header]) -> [String] {
        self.values(name, headers).flatMap { value in
            value.utf8.contains(UInt8(ascii: ",")) ? value.split(separator: ",").map { self.trimmed(String($0)) } : [value]
        }
    }

    private static func trimmed(_ text: String) -> String {
        let isSpace = { (byte: UInt8?) in byte == 0x20 || byte == 0x09 }
        guard isSpace(text.utf8.first) || isSpace(text.utf8.last) else { return text }
        var bytes = text.utf8[...]
        while isSpace(bytes.first) { bytes.removeFirst() }
        while isSpace(bytes.last) { bytes.removeLast() }
        return String(Substring(bytes))
    }

    /// Compares without regard to the case of ASCII letters.
    private static func equal(_ left: String, _ right: String) -> Bool {
        left == right
            || left.utf8.count == right.utf8.count
                && zip(left.utf8, right.utf8).allSatisfy { pair in
                    let lower = { (byte: UInt8) in byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }
                    return lower(pair.0) == lower(pair.1)
                }
    }

    /// 16 bytes are 22 characters of base64, the last of which carries 2 bits, and two signs of padding.
    private static func isKey(_ key: String) -> Bool {
        let bytes = Array(key.utf8)
        guard bytes.count == 24, bytes[22] == UInt8(ascii: "="), bytes[23] == UInt8(ascii: "=") else { return false }
        return bytes[..<22].allSatisfy { self.alphabet.contains($0) } && [0x41, 0x51, 0x67, 0x77].contains(bytes[21])
    }

    private static let alphabet = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static func base64(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits: UInt32 = 0
            for offset in 0..<3 {
                bits = bits << 8 | (start + offset < bytes.count ? UInt32(bytes[start + offset]) : 0)
            }
            for place in 0..<4 {
                output.append(
                    place <= group.count ? self.alphabet[Int(bits >> UInt32(18 - 6 * place)) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
