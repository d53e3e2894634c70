import MartletNet
import NIOCore
import Testing

@Suite("PROXY protocol headers")
struct ProxyHeaderTests {
    static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    static func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = length ?? rest.count
        return Self.signature + [command, family, UInt8(length >> 8), UInt8(length & 0xff)] + rest
    }

    static func parse(_ bytes: [UInt8]) -> ProxyHeader.Outcome { ProxyHeader.parse(ByteBuffer(bytes: bytes).readableBytesView) }
    static func parse(_ text: String) -> ProxyHeader.Outcome { self.parse(Array(text.utf8)) }

    @Test(
        "of version 1 name the source",
        arguments: [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "2001:db8::1"),
        ])
    func version1(_ text: String, _ address: String) {
        #expect(Self.parse(text + "GET /") == .header(length: text.utf8.count, address: ClientAddress(parsing: address)))
    }

    @Test("of version 1 may know nobody", arguments: ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:: whatever 1 2\r\n"])
    func unknown(_ text: String) {
        #expect(Self.parse(text) == .header(length: text.utf8.count, address: nil))
    }

    @Test(
        "of version 1 that are none are invalid",
        arguments: [
            "GET / HTTP/1.1\r\n", "PROXX", "PROXY \r\n", "PROXY\r\n", "PROXY TCP4\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.999 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "proxy UNKNOWN\r\n",
            "PROXY UNKNOWN " + String(repeating: "x", count: 200), "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "\u{0}", "\n",
        ])
    func invalid1(_ text: String) {
        #expect(Self.parse(text) == .invalid)
    }

    @Test("of version 2 name the source, and what follows the addresses is passed over")
    func version2() {
        let four: [UInt8] = [192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187]
        #expect(Self.parse(Self.binary(0x21, 0x11, four)) == .header(length: 28, address: ClientAddress(parsing: "192.0.2.1")))
        let extra = four + Array(repeating: 4, count: 100)
        #expect(Self.parse(Self.binary(0x21, 0x11, extra) + [71]) == .header(length: 128, address: ClientAddress(parsing: "192.0.2.1")))
        let six = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [9] + [UInt8](repeating: 0, count: 20)
        #expect(Self.parse(Self.binary(0x21, 0x21, six)) == .header(length: 52, address: ClientAddress(parsing: "2001:db8::9")))
    }

    @Test("of version 2 may be the proxy's own")
    func local() {
        #expect(Self.parse(Self.binary(0x20, 0x00, [])) == .header(length: 16, address: nil))
        #expect(Self.parse(Self.binary(0x20, 0x11, [1, 2, 3])) == .header(length: 19, address: nil))
        #expect(Self.parse(Self.binary(0x21, 0x00, [])) == .header(length: 16, address: nil))
    }

    static let zeros = [UInt8](repeating: 0, count: 216)
    static let invalidBinaries: [[UInt8]] = [
        Self.binary(0x31, 0x11, Array(zeros.prefix(12))), Self.binary(0x22, 0x11, Array(zeros.prefix(12))),
        Self.binary(0x21, 0x11, [1, 2, 3]), Self.binary(0x21, 0x21, Array(zeros.prefix(35))),
        Self.binary(0x21, 0x12, Array(zeros.prefix(12))), Self.binary(0x21, 0x31, zeros),
        Self.binary(0x21, 0x11, [], length: 65_535), Self.binary(0x21, 0x11, [], length: ProxyHeader.extraBytes + 1),
        [0x0d, 0x0a, 0x0d, 0x0b], Array(Self.signature.dropLast()) + [0x0b],
    ]

    @Test("of version 2 that are none are invalid", arguments: invalidBinaries)
    func invalid2(_ bytes: [UInt8]) {
        #expect(Self.parse(bytes) == .invalid)
    }

    @Test("may come byte by byte")
    func pieces() {
        let headers = [
            Array("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".utf8),
            Self.binary(0x21, 0x11, [192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187, 3, 0, 4, 1, 2, 3, 4]),
        ]
        for header in headers {
            for count in 0..<header.count { #expect(Self.parse(Array(header.prefix(count))) == .more) }
            #expect(Self.parse(header) == .header(length: header.count, address: ClientAddress(parsing: "192.0.2.1")))
        }
    }

    @Test("of random bytes crash nothing")
    func random() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var bytes = Bool.random() ? Self.signature : Array("PROXY ".utf8)
            bytes.append(contentsOf: (0..<Int.random(in: 0..<60)).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
            if case .header(let length, _) = Self.parse(bytes) { #expect(length <= bytes.count) }
        }
    }
}
