import MartletNet
import NIOCore
import Testing

@Suite("Client addresses")
struct AddressTests {
    @Test("are read and written", arguments: ["192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1", "fe80::1:2"])
    func readAndWritten(_ text: String) {
        #expect(ClientAddress(parsing: text)?.description == text)
    }

    @Test("of version 4 in the form of version 6 are the same")
    func mapped() {
        #expect(ClientAddress(parsing: "::ffff:192.0.2.1") == ClientAddress(parsing: "192.0.2.1"))
    }

    @Test(
        "that are none are nil",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80", "[::1]", "::1%eth0", ":::", "1::2::3",
            "0x7f.1", "1.2.3.4\n", "1.2.3.4\u{0}", "١.2.3.4", String(repeating: "1", count: 10_000), "localhost",
        ])
    func none(_ text: String) {
        #expect(ClientAddress(parsing: text) == nil)
    }

    @Test("of a socket are taken as they are")
    func ofSocket() throws {
        #expect(try ClientAddress(SocketAddress(ipAddress: "192.0.2.7", port: 1))?.description == "192.0.2.7")
        #expect(try ClientAddress(SocketAddress(ipAddress: "2001:db8::7", port: 1))?.description == "2001:db8::7")
        #expect(try ClientAddress(SocketAddress(unixDomainSocketPath: "/tmp/x")) == nil)
        #expect(ClientAddress(nil) == nil)
    }

    @Test("of version 6 count by the network of 64 bits")
    func counted() throws {
        let one = try #require(ClientAddress(parsing: "2001:db8:0:1::1"))
        let other = try #require(ClientAddress(parsing: "2001:db8:0:1:ffff::2"))
        let next = try #require(ClientAddress(parsing: "2001:db8:0:2::1"))
        #expect(one.counted == other.counted)
        #expect(one.counted != next.counted)
        let short = try #require(ClientAddress(parsing: "192.0.2.1"))
        #expect(short.counted == short)
    }
}

@Suite("Networks")
struct NetworkTests {
    @Test(
        "contain what they say",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3/8", "10.9.9.9", true),
            ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false), ("192.0.2.0/31", "192.0.2.1", true),
            ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "2001:db8::1", false), ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", true), ("2001:db8::/32", "2001:db8:ffff::", true), ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::8000:0:0:0/65", "2001:db8::8000:0:0:1", true), ("2001:db8::8000:0:0:0/65", "2001:db8::1", false),
            ("::ffff:10.0.0.0/104", "10.2.3.4", true), ("::1/128", "::1", true), ("::1/128", "::2", false),
        ])
    func contain(_ network: String, _ address: String, _ expected: Bool) throws {
        let network = try #require(Network(parsing: network))
        let address = try #require(ClientAddress(parsing: address))
        #expect(network.contains(address) == expected)
    }

    @Test(
        "that are none are nil",
        arguments: [
            "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/08x", "10.0.0.0/+8", "10/8", "::1/1/2", "10.0.0.0/0000",
        ])
    func none(_ text: String) {
        #expect(Network(parsing: text) == nil)
    }

    @Test("are refused with a sentence that names the bad one, and when there are too many")
    func refused() {
        #expect(throws: EdgeError.self) { try TrustedProxies(["10.0.0.0/8", "nonsense"]) }
        #expect(throws: EdgeError.self) { try TrustedProxies(Array(repeating: "10.0.0.0/8", count: TrustedProxies.limit + 1)) }
    }
}
