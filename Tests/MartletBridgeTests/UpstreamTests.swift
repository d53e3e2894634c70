import MartletBridge
import MartletCore
import MartletWire
import Testing

@Suite("URLs that are polled")
struct BridgeURLTests {
    @Test(
        "Read and written",
        arguments: [
            ("http://a", "http://a/"), ("https://A.example:443/x?y=1", "https://a.example/x?y=1"), ("http://[::1]:8000/a", "http://[::1]:8000/a"),
            ("http://a?x", "http://a/?x"), ("HTTPS://a:80/", "https://a:80/"),
        ])
    func reads(text: String, written: String) { #expect(BridgeURL(text)?.text == written) }

    @Test(
        "Refused",
        arguments: [
            "", "a", "ftp://a/", "http://", "http:///x", "http://u:p@a/", "http://a b/", "http://a/#f", "http://a:0/", "http://a:70000/",
            "http://a:x/",
            "http://{user}.example/", "http://[::1/", "http://[a]/", "http://é/", "http://a/\r\nx", "http://a\\b/", "//a/b", "http://a@b/",
        ])
    func refuses(text: String) { #expect(BridgeURL(text) == nil) }

    @Test("A user's name never leaves its place, and no two are alike")
    func users() throws {
        let url = try #require(BridgeURL("http://a/users/{user}/feed?u={user}"))
        #expect(url.of(user: "alice")?.target == "/users/alice/feed?u=alice")
        #expect(
            url.of(user: "../x?a=b&c#d/%2e é")?.target
                == "/users/..%2Fx%3Fa%3Db%26c%23d%2F%252e%20%C3%A9/feed?u=..%2Fx%3Fa%3Db%26c%23d%2F%252e%20%C3%A9")
        #expect(url.of(user: "..") == nil)
        #expect(url.of(user: ".") == nil)
        #expect(BridgeURL.headerValue(user: "é") != BridgeURL.headerValue(user: "%C3%A9"))
        #expect(BridgeURL.headerValue(user: "a b\u{7f}") == "a%20b%7F")
    }

    @Test(
        "Redirects",
        arguments: [
            ("/y", "https://a:8/y"), ("y?z", "https://a:8/p/y?z"), ("?z", "https://a:8/p/x?z"), ("//b/y", "https://b/y"), ("http://c/", "http://c/"),
            ("/y#part", "https://a:8/y"), ("", nil), ("javascript:alert(1)", nil), ("http://u@c/", nil), ("ftp://c/", nil), ("https://c/\u{0}", nil),
        ] as [(String, String?)])
    func redirects(location: String, target: String?) throws {
        let url = try #require(BridgeURL("https://a:8/p/x?q"))
        #expect(url.redirected(to: location)?.text == target)
    }
}

@Suite("Hosts that may be polled")
struct HostListTests {
    @Test("By name, and by port if it is not the usual one")
    func ports() throws {
        let list = HostList(["API.example.com", "10.0.0.7:8000", "[::1]:9"])
        for (text, isAllowed) in [
            ("https://api.example.com/", true), ("http://api.example.com/", true), ("http://api.example.com:81/", false),
            ("http://10.0.0.7:8000/", true),
            ("http://10.0.0.7/", false), ("http://[::1]:9/", true), ("http://[::1]/", false), ("http://example.com/", false),
            ("http://x.api.example.com/", false), ("http://api.example.com.evil/", false),
        ] {
            #expect(list.allows(try #require(BridgeURL(text))) == isAllowed, "\(text)")
        }
    }

    @Test("Link-local and metadata addresses, in all their forms")
    func reserved() {
        let list = HostList(["api.example.com"])
        for address in [
            "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1", "::ffff:169.254.1.1", "64:ff9b::a9fe:a9fe", "100.100.100.200",
            "fd00:ec2::254",
        ] {
            #expect(!list.allows(address: address), "\(address)")
        }
        for address in ["127.0.0.1", "10.0.0.1", "169.253.1.1", "::1", "2001:db8::1", "fec0::1", "::ffff:10.0.0.1", "api.example.com"] {
            #expect(list.allows(address: address), "\(address)")
        }
        #expect(HostList(["169.254.169.254"]).allows(address: "169.254.169.254"))
        #expect(HostList(["[fe80::1]:80"]).allows(address: "fe80::1"))
        #expect(!HostList(["169.254.169.25"]).allows(address: "169.254.169.254"))
    }

    @Test("What cannot stand in the list", arguments: ["", "http://a", "a/b", "a:b", "a:0", "*.example.com", "::1", "a b", "u@a"])
    func problems(entry: String) { #expect(HostList.problem(entry) != nil) }

    @Test("What can", arguments: ["a", "a.example:80", "A", "[::1]", "[::1]:8000", "10.0.0.1"])
    func fine(entry: String) { #expect(HostList.problem(entry) == nil) }
}

@Suite("Messages of answers")
struct PolledMessageTests {
    private let parser = PublishParser(app: AppID(1), limits: Limits()) { _ in [] }
    private let topic = PolledMessage(target: .topic("a/b"), type: "t", ttl: 60)

    private func members(_ body: String, _ contentType: String?) throws -> String {
        String(decoding: try self.topic.request(Array(body.utf8), contentType: contentType, self.parser).members, as: UTF8.self)
    }

    @Test("JSON goes through byte for byte, text becomes a string, the rest base64")
    func kinds() throws {
        #expect(
            try self.members(#"{"b": 1e400, "a":[ ]}"#, "application/json; charset=utf-8")
                == #""topic":"a/b","type":"t","data":{"b": 1e400, "a":[ ]}"#)
        #expect(try self.members("[1]", "application/vnd.x+json") == #""topic":"a/b","type":"t","data":[1]"#)
        #expect(try self.members("a\"\n", "text/html") == #""topic":"a/b","type":"t","data":"a\"\n""#)
        #expect(try self.members("hi", nil) == #""topic":"a/b","type":"t","data":"hi""#)
        #expect(try self.members("hi", "text/plain;charset=latin1").contains(#""dataBase64":"aGk=""#))
        #expect(try self.members("hi", "image/png") == #""topic":"a/b","type":"t","dataBase64":"aGk=","contentType":"image/png""#)
        let notText = try self.topic.request([0xff], contentType: "text/plain", self.parser)
        #expect(String(decoding: notText.members, as: UTF8.self).contains(#""dataBase64":"/w==""#))
    }

    @Test("An answer cannot become members of the message", arguments: [#"1,"to":{"user":"bob"}"#, "1 2", "{", "", "1}", "nul"])
    func hostile(body: String) { #expect(throws: WireError.self) { try self.members(body, "application/json") } }

    @Test("Topics keep it; of a user only the newest counts")
    func targets() throws {
        let kept = try self.topic.request([0x31], contentType: "application/json", self.parser)
        #expect(kept.topic?.retain == .set)
        #expect(kept.ttl == 60)
        let own = PolledMessage(target: .user("alice", collapseKey: "bridge:x"), type: nil, ttl: 60)
        let request = try own.request([0x31], contentType: "application/json", self.parser)
        #expect(request.targets == [.user("alice", in: AppID(1))])
        #expect(request.collapseKey == "bridge:x")
    }
}

@Suite("Dates of a URL's server")
struct UpstreamDatesTests {
    @Test(
        "Seconds and dates",
        arguments: [
            ("120", 120_000), ("0", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 37_000), ("Thu, 29 Feb 2024 00:00:00 GMT", 925_053_060_000),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] as [(String, Int64)])
    func good(text: String, after: Int64) {
        // At 1994-11-06T08:49:00Z.
        #expect(UpstreamDates.retryAfterMs(text, wallMs: 784_111_740_000) == after)
    }

    @Test(
        "Nothing else",
        arguments: ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 40 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT"])
    func bad(text: String) { #expect(UpstreamDates.retryAfterMs(text, wallMs: 0) == nil) }

    @Test("What changed within the last second may change once more under the same date")
    func settled() {
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT"
        let wall: Int64 = 784_111_777_000
        #expect(!UpstreamDates.isSettled(lastModified: modified, date: nil, wallMs: wall + 1_999))
        #expect(UpstreamDates.isSettled(lastModified: modified, date: nil, wallMs: wall + 2_000))
        #expect(!UpstreamDates.isSettled(lastModified: modified, date: "Sun, 06 Nov 1994 08:49:38 GMT", wallMs: wall + 60_000))
        #expect(UpstreamDates.isSettled(lastModified: modified, date: "Sun, 06 Nov 1994 08:49:39 GMT", wallMs: wall))
        #expect(!UpstreamDates.isSettled(lastModified: "yesterday", date: nil, wallMs: wall + 60_000))
    }

    @Test("A number without end is only long") func long() {
        #expect(UpstreamDates.retryAfterMs(String(repeating: "9", count: 400), wallMs: 0) == 999_999_999_000)
    }
}

@Suite("Options of a bridge")
struct BridgeOptionsTests {
    private func problems(_ change: (inout BridgeOptions) -> Void) -> [String] {
        var options = BridgeOptions()
        options.url = "https://api.example.com/x"
        options.topic = "a/b"
        change(&options)
        return options.problems(Limits(), hosts: HostList(["api.example.com"])).map(\.option)
    }

    @Test("What goes together, and what does not")
    func together() {
        #expect(self.problems { _ in } == [])
        #expect(self.problems { $0.url = "" }.contains("url"))
        #expect(self.problems { $0.url = "https://other.example/x" } == ["url"])
        #expect(self.problems { $0.url = "https://api.example.com:444/x" } == ["url"])
        #expect(self.problems { $0.url += "{user}" } == ["url"])
        #expect(self.problems { $0.topic = nil } == ["url"])
        #expect(self.problems { $0.topic = "a/#" } == ["topic"])
        #expect(self.problems { $0.userHeader = "X-User" } == ["userHeader"])
        #expect(self.problems { ($0.topic, $0.type) = (nil, "t") } == ["type"])
        #expect(self.problems { ($0.topic, $0.type, $0.userHeader) = (nil, "t", "X-User") } == [])
        #expect(self.problems { ($0.topic, $0.type, $0.userHeader) = (nil, "t", "Host") } == ["userHeader"])
        #expect(self.problems { ($0.topic, $0.type, $0.url) = (nil, "t", "https://api.example.com/{user}") } == [])
        #expect(
            self.problems { ($0.topic, $0.type, $0.url, $0.path, $0.access) = (nil, "t", "https://api.example.com/{user}", "/f", .public) } == [
                "access"
            ])
        #expect(self.problems { $0.access = .public } == ["access"])
        #expect(self.problems { $0.maxBytes = 65_537 } == ["maxBytes"])
    }

    @Test(
        "Paths that are Martlet's own, or none",
        arguments: ["", "x", "/", "/v1/x", "/metrics", "/metrics/x", "/ramen/x", "/a/../v1/x", "/a?b", "/%76", "//x", "/dev/x", "/é"])
    func paths(path: String) { #expect(self.problems { $0.path = path } == ["path"]) }

    @Test("Paths that are fine", arguments: ["/feed", "/feed/scores.json", "/api/v1/x", "/feed/"])
    func finePaths(path: String) { #expect(self.problems { $0.path = path } == []) }
}
