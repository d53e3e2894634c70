import MartletHTTP
import MartletTestSupport
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// What the quick reader takes, NIO's parser must read the same: otherwise two servers in a row could disagree on where a request
/// ends (request smuggling).
struct QuickHeadTests {
    private func parse(_ text: String, fieldsMost: Int = 20) -> QuickHead {
        Array(text.utf8).withUnsafeBytes { bytes in
            guard let end = QuickHead.end(in: bytes, searched: 0) else { return .incomplete }
            return QuickHead.parse(UnsafeRawBufferPointer(rebasing: bytes[..<end]), fieldsMost: fieldsMost)
        }
    }

    private func isTaken(_ text: String) -> Bool {
        if case .head = self.parse(text) { true } else { false }
    }

    @Test func plainRequestsAreTaken() throws {
        let publish = "POST /v1/topics/a%2Fb?x=1 HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 12\r\ncontent-type:text/plain; a=\"b\"\r\n\r\n"
        guard case .head(let head, let bytes, let bodyBytes) = self.parse(publish) else {
            Issue.record("not taken")
            return
        }
        #expect(head.method == .POST && head.uri == "/v1/topics/a%2Fb?x=1" && head.version == .http1_1)
        #expect(head.headers.map { "\($0.name)=\($0.value)" } == ["Host=localhost:8080", "Content-Length=12", "content-type=text/plain; a=\"b\""])
        #expect(bytes == publish.utf8.count && bodyBytes == 12)
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] { #expect(self.isTaken("\(method) / HTTP/1.1\r\nHost: a\r\n\r\n")) }
        #expect(self.isTaken("GET / HTTP/1.1\r\n\r\n"))
        #expect(self.isTaken("GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
    }

    @Test(arguments: [
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "PATCH / HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n", "GET /\u{e9} HTTP/1.1\r\n\r\n", "GET /a#b HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.1\r\ntransfer-encoding: x\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "POST / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nA: b \r\n\r\n",
        "GET / HTTP/1.1\r\nA:\tb\r\n\r\n",
        "GET / HTTP/1.1\r\nA:\r\n\r\n", "GET / HTTP/1.1\r\nA: \u{1}\r\n\r\n", "GET / HTTP/1.1\r\nA: \u{fc}\r\n\r\n", "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n", "GET / HTTP/1.1\nA: b\r\n\r\n", "\r\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\nConnection: close\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n",
    ])
    func whatMayBeReadInMoreThanOneWayIsLeftAlone(_ text: String) {
        #expect(!self.isTaken(text))
    }

    @Test func manyFieldsAreLeftAlone() {
        let fields = (0..<20).map { "a\($0): b\r\n" }
        #expect(self.isTaken("GET / HTTP/1.1\r\n\(fields.joined())\r\n"))
        #expect(!self.isTaken("GET / HTTP/1.1\r\n\(fields.joined())a: b\r\n\r\n"))
    }

    @Test func theEndIsFoundWhereverTheReadingStopped() {
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest\r\n\r\n".utf8)
        bytes.withUnsafeBytes { bytes in
            for count in 0...bytes.count {
                let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                for searched in 0...min(count, 26) { #expect(QuickHead.end(in: part, searched: searched) == (count >= 27 ? 27 : nil)) }
            }
        }
    }

    // MARK: Beside NIO's parser

    private static let lines = [
        "GET / HTTP/1.1", "POST /v1/topics/a HTTP/1.1", "PUT /x?y=%20 HTTP/1.1", "HEAD /a//b HTTP/1.1", "OPTIONS /* HTTP/1.1",
    ]
    private static let fields = [
        "Host: a", "Content-Length: 3", "content-length: 0", "Content-Length:7", "Connection: close", "Connection: keep-alive, Upgrade",
        "Upgrade: h2c", "Accept: */*", "Cookie: a=b; c=\"d\"", "X-Empty:", "Transfer-Encoding: chunked", "Trailer: a", "A: b", "Content-Length : 1",
        "Transfer_Encoding: chunked", "Content_Length: 5",
    ]

    private func request(_ random: inout SeededRandom) -> [UInt8] {
        var text = Self.lines[Int(random.next() % UInt64(Self.lines.count))] + "\r\n"
        for _ in 0..<random.next() % 5 { text += Self.fields[Int(random.next() % UInt64(Self.fields.count))] + "\r\n" }
        var bytes = Array((text + "\r\n").utf8)
        for _ in 0..<random.next() % 3 {
            let index = Int(random.next() % UInt64(bytes.count))
            let strange: [UInt8] = [0, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x3a, 0x2c, 0x5f, 0x7f, 0xff, UInt8(truncatingIfNeeded: random.next())]
            let byte = strange[Int(random.next() % UInt64(strange.count))]
            switch random.next() % 3 {
            case 0: bytes[index] = byte
            case 1: bytes.insert(byte, at: index)
            default: if bytes.count > 1 { bytes.remove(at: index) }
            }
        }
        return bytes
    }

    /// What NIO's parser makes of the first request: its head, and how many bytes it has as a body; nil if it refuses.
    private func read(_ bytes: [UInt8]) -> (HTTPRequestHead, Int)? {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes))
        guard (try? channel.pipeline.syncOperations.addHandler(decoder)) != nil, (try? channel.writeInbound(ByteBuffer(bytes: bytes))) != nil,
            case .head(let head)? = try? channel.readInbound(as: HTTPServerRequestPart.self)
        else { return nil }
        var count = 0
        while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
            switch part {
            case .body(let body): count += body.readableBytes
            case .end: return (head, count)
            case .head: return nil
            }
        }
        return nil
    }

    @Test func whatIsTakenIsReadTheSame() {
        var random = SeededRandom(seed: 20)
        var taken = 0
        for _ in 0..<60_000 {
            let bytes = self.request(&random)
            let found: QuickHead? = bytes.withUnsafeBytes { all in
                QuickHead.end(in: all, searched: 0).map { QuickHead.parse(UnsafeRawBufferPointer(rebasing: all[..<$0]), fieldsMost: 20) }
            }
            guard case .head(let head, let length, let bodyBytes)? = found, bodyBytes < 1_000 else { continue }
            taken += 1
            let body = [UInt8](repeating: UInt8(ascii: "x"), count: bodyBytes)
            guard let (other, count) = self.read(Array(bytes[..<length]) + body) else {
                Issue.record("refused: \(String(decoding: bytes, as: UTF8.self).debugDescription)")
                continue
            }
            let isSame =
                head.method == other.method && head.uri == other.uri && head.version == other.version && head.isKeepAlive == other.isKeepAlive
                && head.headers.elementsEqual(other.headers) { $0.name == $1.name && $0.value == $1.value } && bodyBytes == count
            #expect(isSame, "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
        #expect(taken > 10_000)
    }
}
