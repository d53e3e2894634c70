import MartletHTTP
import MartletTestSupport
import NIOCore
import Testing

@Suite("A host of dev mode")
struct LoopbackHostTests {
    @Test(
        "is this machine's own",
        arguments: [
            "localhost", "localhost:8080", "localhost:", "LOCALHOST", "LocalHost:1", "localhost.", "localhost.:80", "a.localhost",
            "app-1.my_team.localhost:3000", "A.LOCALHOST.", "127.0.0.1", "127.0.0.1:8080", "127.0.0.0", "127.255.255.255:65535", "127.1.2.30",
            "[::1]", "[::1]:8080", "[::1]:", "[0:0:0:0:0:0:0:1]:80", "[0000::0001]", "[::0.0.0.1]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]:80",
        ])
    func own(_ host: String) { #expect(LoopbackHost.matches(host.utf8[...])) }

    @Test(
        "is anybody's",
        arguments: [
            // Nothing, or not only a host.
            "", ":", ":80", ".", "..", " ", " localhost", "localhost ", "localhost\t", "local host", "localhost\0", "http://localhost", "localhost/",
            "localhost?", "localhost#", "localhost\\", "user@localhost", "localhost@evil.example", "user:pass@127.0.0.1", "localhost,localhost",
            "localhost, evil.example", "127.0.0.1,127.0.0.1",
            // Other names.
            "evil.example", "evil.example:8080", "localhost.evil.example", "evil.example.localhost.com", "notlocalhost", "localhos", "ocalhost",
            "localhost1",
            "localhost..", ".localhost", "a..localhost", "..localhost", "a.localhost..", "localhost.localdomain", "localhosт", "lоcalhost",
            "ｌocalhost", "a%2elocalhost", "é.localhost", "*.localhost", "127.0.0.1.nip.io", "0", "myhost", "ip6-localhost",
            // Ports that are none.
            "localhost:x", "localhost:80x", "localhost:-1", "localhost:+1", "localhost: 80", "localhost:80:80", "127.0.0.1::80", "localhost:٨٠",
            "localhost:evil.example", "[::1]80", "[::1]:x", "[::1]:80]", "[::1].evil.example", "[::1]]",
            // Other addresses, and spellings that programs read differently.
            "0.0.0.0", "10.0.0.1", "126.255.255.255", "128.0.0.1", "192.168.0.127", "127", "127.1", "127.0.1", "127.0.0.1.", "127.0.0.1.1",
            "127.0.0.",
            "127..0.1", ".127.0.0.1", "127.0.0.256", "127.0.0.1000000000000000000000", "127.0.0.01", "127.0.0.00", "0127.0.0.1", "0x7f.0.0.1",
            "0x7f000001", "2130706433", "017700000001", "127.0.0.0x1", "127.0.0.-1", "127.0.0.1a", "127.0.0.١",
            "[]", "[", "]", "[::1", "::1", "::1]", "[[::1]]", "[::]", "[::2]", "[1::1]", "[::1%lo]", "[::1%25lo]", "[ ::1]", "[::1 ]", "[fe80::1]",
            "[::ffff:10.0.0.1]", "[::ffff:128.0.0.1]", "[127.0.0.1]", "[localhost]", "[:::1]", "[v1.::1]", "[::127.0.0.1]",
            String(repeating: "1", count: 10_000), String(repeating: "a.", count: 5_000) + "localhos",
            "[" + String(repeating: ":", count: 10_000) + "1]",
        ])
    func anybodys(_ host: String) { #expect(!LoopbackHost.matches(host.utf8[...])) }

    @Test("is what another reader takes it for, whatever it is made of")
    func random() {
        let pieces = [
            "localhost", "LOCALHOST", "local", "127", "127.0.0.1", "0", "1", "01", "255", "256", ".", ".", ".", ":", ":", "::1", "[", "]", "[::1]",
            "80", "65535", "@", "/", ",", " ", "\0", "%", "-", "_", "a", "evil", "example", "é", "\u{FFFD}", "ffff", "7f00",
        ]
        var random = SeededRandom(seed: 20_260_101)
        var own = 0
        for _ in 0..<10_000 {
            var host = ""
            for _ in 0..<Int.random(in: 0...6, using: &random) { host += pieces.randomElement(using: &random) ?? "" }
            let expected = Self.isLoopback(host)
            if expected { own += 1 }
            #expect(LoopbackHost.matches(host.utf8[...]) == expected, "\(host.debugDescription)")
        }
        #expect(own > 50)
    }

    /// The same rule, said with an expression and the system's reader of addresses.
    private static func isLoopback(_ host: String) -> Bool {
        if let match = host.wholeMatch(of: /\[([0-9a-f:.]*:[0-9a-f:.]*)\](?::[0-9]*)?/) {
            let address = (try? SocketAddress(ipAddress: String(match.1), port: 0))?.ipAddress ?? ""
            return address == "::1" || address.hasPrefix("::ffff:127.")
        }
        if let match = host.wholeMatch(of: /127\.([0-9]+)\.([0-9]+)\.([0-9]+)(?::[0-9]*)?/) {
            return [match.1, match.2, match.3].allSatisfy { UInt8($0).map { String($0) } == String($0) }
        }
        return host.lowercased().wholeMatch(of: /(?:[a-z0-9_\-]+\.)*localhost\.?(?::[0-9]*)?/) != nil
    }
}
