import MartletGRPC
import MartletWire
import NIOCore
import NIOHPACK
import Testing

/// Heads of calls, timeouts, and what trailers say.
struct HeadTests {
    private static func head(_ change: KeyValuePairs<String, String> = [:]) throws(GRPCRequestHead.Refusal) -> GRPCRequestHead {
        var fields = HPACKHeaders([
            (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), ("content-type", "application/grpc"), ("te", "trailers"),
        ])
        for (name, value) in change { fields.replaceOrAdd(name: name, value: value) }
        return try GRPCRequestHead(fields)
    }

    @Test func `A plain one`() throws {
        let head = try Self.head()
        #expect(head.path == "/a.B/C" && head.encoding == .identity && !head.acceptsGzip && head.timeout == nil && !head.wantsGzip)
    }

    @Test(arguments: ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8", "Application/GRPC"])
    func `Types that are gRPC's`(type: String) throws { _ = try Self.head(["content-type": type]) }

    @Test(arguments: ["application/grpc-web", "application/grpcx", "application/grpc+json", "application/json", ""])
    func `Types that are not`(type: String) {
        #expect(throws: GRPCRequestHead.Refusal.http(415)) { try Self.head(["content-type": type]) }
    }

    @Test func `Only POST`() { #expect(throws: GRPCRequestHead.Refusal.http(405)) { try Self.head([":method": "GET"]) } }

    @Test func `Gzip is answered to who uses it`() throws {
        #expect(try Self.head(["grpc-accept-encoding": "identity, deflate, gzip"]).wantsGzip == false)
        #expect(try Self.head(["grpc-encoding": "gzip"]).wantsGzip == false)
        #expect(try Self.head(["grpc-encoding": "gzip", "grpc-accept-encoding": "identity,gzip"]).wantsGzip)
        #expect(try Self.head(["grpc-encoding": "gzip", "grpc-accept-encoding": "xgzip"]).wantsGzip == false)
    }

    @Test func `Another encoding`() {
        #expect { try Self.head(["grpc-encoding": "zstd"]) } throws: { error in
            if case .status(let status) = error as? GRPCRequestHead.Refusal { status.code == .unimplemented } else { false }
        }
    }

    @Test func `Timeouts`() {
        let good: [(String, TimeAmount)] = [
            ("1H", .hours(1)), ("2M", .minutes(2)), ("3S", .seconds(3)), ("4m", .milliseconds(4)), ("5u", .microseconds(5)), ("6n", .nanoseconds(6)),
            ("0S", .zero), ("99999999S", .hours(24 * 365)), ("99999999H", .hours(24 * 365)), ("99999999M", .hours(24 * 365)),
        ]
        for (text, amount) in good { #expect(GRPCTimeout.parse(text) == amount, "\(text)") }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "１S", "1SS"] {
            #expect(GRPCTimeout.parse(text) == nil, "\(text)")
        }
    }

    @Test func `Messages are percent-encoded`() {
        #expect(PercentText.encode("plain text!") == "plain text!")
        #expect(PercentText.encode("100%\n\u{e9}\u{1F426}\u{7f}") == "100%25%0A%C3%A9%F0%9F%90%A6%7F")
        #expect(PercentText.encode(String(repeating: "\n", count: 5_000)).utf8.count == 3 * 1_024)
    }

    @Test func `Trailers`() {
        var fields = HPACKHeaders()
        GRPCStatus(WireError(.rateLimited, "slowly", limit: 5, retryAfterMs: 70)).write(to: &fields)
        #expect(fields["grpc-status"] == ["8"] && fields["grpc-message"] == ["slowly"] && fields["martlet-error-code"] == ["rate_limited"])
        #expect(fields["martlet-error-limit"] == ["5"] && fields["grpc-retry-pushback-ms"] == ["70"])
        fields = HPACKHeaders()
        GRPCStatus(CloseCode.takenOver, retryAfterMs: 70).write(to: &fields)
        #expect(fields["grpc-status"] == ["10"] && fields["martlet-close-code"] == ["4500"] && fields["martlet-reconnect"] == ["false"])
        #expect(fields["grpc-retry-pushback-ms"] == [])
        fields = HPACKHeaders()
        GRPCStatus(CloseCode.serviceRestart, retryAfterMs: 70).write(to: &fields)
        #expect(fields["martlet-reconnect"] == ["true"] && fields["grpc-retry-pushback-ms"] == ["70"])
        fields = HPACKHeaders()
        GRPCStatus.ok.write(to: &fields)
        #expect(fields.count == 1)
    }

    @Test func `Errors that pass are told apart from those that do not`() {
        for code in ErrorCode.allCases {
            let status = GRPCStatus(WireError(code, "x"))
            #expect(status.code != .ok && status.code != .unknown && status.code != .cancelled, "\(code)")
            #expect((status.retryAfterMs != nil) == code.isTemporary, "\(code)")
        }
        for code in CloseCode.allCases where code != .normal {
            // Clients try UNAVAILABLE again by themselves: a session that must not come back never ends with it.
            #expect((code.grpc == .unavailable) == (code.reconnect && code != .tokenExpired && code != .internalError), "\(code)")
        }
    }
}
