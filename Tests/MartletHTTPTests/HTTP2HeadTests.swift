import MartletHTTP
import NIOCore
import NIOHPACK
import NIOHTTP1
import Testing

/// Heads between HTTP/2 and HTTP/1.1.
struct HTTP2HeadTests {
    private static let get = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/v1/sse?topics=a")]

    private func request(_ fields: [(String, String)], hasBody: Bool = false) -> HTTPRequestHead? {
        HTTP2Head.request(HPACKHeaders(fields), hasBody: hasBody)
    }

    @Test func aRequest() throws {
        let head = try #require(self.request(Self.get + [("accept", "*/*"), ("x-forwarded-for", "192.0.2.1")]))
        #expect(head.method == .GET && head.uri == "/v1/sse?topics=a" && head.version == .http1_1)
        #expect(head.headers["host"] == ["a.example"])
        #expect(head.headers["accept"] == ["*/*"] && head.headers["x-forwarded-for"] == ["192.0.2.1"])
        #expect(!head.headers.contains { $0.name.hasPrefix(":") })
        #expect(head.isKeepAlive)
    }

    /// RFC 9113 §8.2.3.
    @Test func cookiesAreOne() {
        #expect(self.request(Self.get + [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")])?.headers["cookie"] == ["a=1; b=2; c=3"])
    }

    @Test func hosts() {
        #expect(self.request(Self.get + [("host", "a.example")])?.headers["host"] == ["a.example"])
        // Refused later, as two hosts are.
        #expect(self.request(Self.get + [("host", "b.example")])?.headers["host"].count == 2)
        let none = self.request(Self.get.filter { $0.0 != ":authority" })
        #expect(none?.headers["host"] == [] && none?.version == .http1_0)
        #expect(self.request(Self.get.filter { $0.0 != ":authority" } + [("host", "b.example")])?.version == .http1_1)
    }

    @Test func bodies() {
        let post = [(":method", "POST")] + Self.get.dropFirst()
        #expect(self.request(post, hasBody: true)?.headers["transfer-encoding"] == ["chunked"])
        #expect(self.request(post)?.headers["transfer-encoding"] == [])
        #expect(self.request(post + [("content-length", "5")], hasBody: true)?.headers["transfer-encoding"] == [])
        #expect(self.request(Self.get, hasBody: true)?.headers["transfer-encoding"] == [])
    }

    @Test func connect() {
        #expect(self.request([(":method", "CONNECT"), (":authority", "a.example:443")])?.uri == "a.example:443")
        #expect(self.request([(":method", "CONNECT")]) == nil)
    }

    @Test(arguments: [
        [(":method", "GET"), (":authority", "a")],
        [(":method", "GET"), (":path", "")],
        [(":path", "/")],
        [(":method", "GET /x HTTP/1.1"), (":path", "/")],
        [(":method", "GET"), (":path", "/a b")],
        [(":method", "GET"), (":path", "/a\r\nb")],
        [(":method", "GET"), (":path", "/\u{7f}")],
    ])
    func malformed(fields: [(String, String)]) {
        #expect(self.request(fields) == nil)
    }

    // MARK: Answers

    private static let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\ncache-control:no-cache\r\nConnection: close\r\nkeep-alive: 5\r\n"
        + "Transfer-Encoding: chunked\r\nupgrade: h2c\r\nx-empty:\r\n\r\n"

    @Test func anAnswer() throws {
        var bytes = ByteBuffer(string: Self.answer + "data: 1\n\n")
        let answer = try #require(HTTP2Head.answer(&bytes))
        #expect(answer.status == 200 && answer.length == nil)
        #expect(
            answer.fields == [
                ":status": "200", "content-type": "text/event-stream", "cache-control": "no-cache", "x-empty": "",
            ])
        #expect(String(buffer: bytes) == "data: 1\n\n")
    }

    @Test func lengthsAndInterimAnswers() throws {
        var bytes = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\n")
        #expect(try #require(HTTP2Head.answer(&bytes)).status == 100)
        let answer = try #require(HTTP2Head.answer(&bytes))
        #expect(answer.status == 404 && answer.length == 12 && bytes.readableBytes == 0)
    }

    /// Nothing is taken before it is there as a whole.
    @Test func pieces() {
        for count in 0..<Self.answer.utf8.count {
            var bytes = ByteBuffer(bytes: Self.answer.utf8.prefix(count))
            let answer = HTTP2Head.answer(&bytes)
            #expect(answer == nil && bytes.readableBytes == count)
        }
    }
}
