import MartletHTTP
import MartletNet
import Testing

@Suite("X-Forwarded-For")
struct ForwardedForTests {
    @Test(
        "names the rightmost hop that is no trusted proxy",
        arguments: [
            ([], "10.0.0.1"), ([""], "10.0.0.1"), (["203.0.113.9"], "203.0.113.9"), (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (["203.0.113.9, 10.0.0.7"], "203.0.113.9"), (["1.1.1.1", "203.0.113.9, 10.0.0.7 , 10.0.0.8"], "203.0.113.9"),
            (["10.0.0.9, 10.0.0.8"], "10.0.0.9"), (["203.0.113.9:4711"], "203.0.113.9"), (["[2001:db8::9]:4711"], "2001:db8::9"),
            (["2001:db8::9"], "2001:db8::9"), (["[2001:db8::9]"], "2001:db8::9"), (["unknown"], "10.0.0.1"),
            (["203.0.113.9, unknown, 10.0.0.7"], "10.0.0.7"), (["203.0.113.9, , 10.0.0.7"], "10.0.0.7"), (["\t203.0.113.9 "], "203.0.113.9"),
            (["_hidden, <script>"], "10.0.0.1"), ([String(repeating: "10.0.0.2,", count: 5_000) + "10.0.0.3"], "10.0.0.2"),
        ])
    func rightmost(_ values: [String], _ expected: String) throws {
        let peer = try #require(ClientAddress(parsing: "10.0.0.1"))
        let trusted = try TrustedProxies(["10.0.0.0/8"])
        #expect(ForwardedFor.client(values, peer: peer, trusted: trusted).description == expected)
    }
}
