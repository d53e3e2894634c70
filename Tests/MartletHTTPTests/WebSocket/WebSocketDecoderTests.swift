import MartletHTTP
import MartletWire
import NIOCore
import Testing

/// RFC 6455, the server's side: bytes in, events or a refusal out.
struct WebSocketDecoderTests {
    static let limits = WebSocketDecoder.Limits(messageBytes: 70_000, fragments: 8)

    /// What the pieces say: events up to the refusal, and the refusal's code.
    static func decode(
        _ pieces: some Sequence<[UInt8]>, limits: WebSocketDecoder.Limits = limits
    ) -> (events: [WebSocketEvent], error: CloseCode?) {
        self.decode(pieces, by: WebSocketDecoder(limits: limits))
    }

    static func decode(_ pieces: some Sequence<[UInt8]>, by decoder: WebSocketDecoder) -> (events: [WebSocketEvent], error: CloseCode?) {
        var decoder = decoder
        var events: [WebSocketEvent] = []
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            decoder.feed(&buffer)
            do throws(WebSocketError) {
                while let event = try decoder.next() { events.append(event) }
            } catch {
                return (events, error.code)
            }
        }
        return (events, nil)
    }

    static func frame(
        _ opcode: UInt8, _ payload: [UInt8], final: Bool = true, mask: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
    ) -> [UInt8] {
        var bytes: [UInt8] = [(final ? 0x80 : 0) | opcode]
        switch payload.count {
        case ...125: bytes.append(0x80 | UInt8(payload.count))
        case ...65_535: bytes += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default: bytes += [0x80 | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        bytes += mask
        return bytes + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }

    private func text(_ string: String) -> WebSocketEvent { .text(ByteBuffer(string: string)) }

    /// RFC 6455 §5.7.
    @Test func vectors() {
        let masked: [UInt8] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        #expect(Self.decode([masked]).events == [self.text("Hello")])
        let pong: [UInt8] = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        #expect(Self.decode([pong]).events == [.pong(ByteBuffer(string: "Hello"))])
        // The unmasked ones are a server's: refused from a client.
        #expect(Self.decode([[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]]).error == .protocolError)
        let fragments = Self.frame(1, Array("Hel".utf8), final: false) + Self.frame(0, Array("lo".utf8))
        #expect(Self.decode([fragments]).events == [self.text("Hello")])
    }

    /// A long conversation gives the same events whole, byte by byte, and in pieces of any size.
    @Test func pieces() {
        let long = [UInt8](String(repeating: "é🚕abc", count: 40).utf8)
        let huge = (0..<66_000).map { UInt8(truncatingIfNeeded: $0) }
        var bytes = Self.frame(1, Array("Hello".utf8)) + Self.frame(9, [1, 2, 3]) + Self.frame(1, [])
        bytes += Self.frame(1, Array(long[..<7]), final: false) + Self.frame(9, [UInt8](repeating: 7, count: 125))
        bytes += Self.frame(0, Array(long[7..<8]), final: false) + Self.frame(0, [], final: false) + Self.frame(10, [])
        bytes += Self.frame(0, Array(long[8...])) + Self.frame(2, huge) + Self.frame(2, long, mask: [0, 0, 0, 0])
        bytes += Self.frame(8, [0x03, 0xe8] + Array("bye é".utf8)) + Self.frame(1, Array("after".utf8))
        let expected: [WebSocketEvent] = [
            self.text("Hello"), .ping(ByteBuffer(bytes: [1, 2, 3])), self.text(""),
            .ping(ByteBuffer(repeating: 7, count: 125)), .pong(ByteBuffer()), .text(ByteBuffer(bytes: long)),
            .binary(ByteBuffer(bytes: huge)), .binary(ByteBuffer(bytes: long)), .close(code: 1000, reason: "bye é"),
        ]
        #expect(Self.decode([bytes]).events == expected)
        for size in [1, 2, 3, 5, 13, 14, 15, 127, 1_000, 65_999] {
            let pieces = stride(from: 0, to: bytes.count, by: size).map {
                Array(bytes[$0..<min($0 + size, bytes.count)])
            }
            let result = Self.decode(pieces)
            #expect(result.events == expected && result.error == nil, "pieces of \(size)")
        }
    }

    /// Bytes that cannot be right, as hex, with the code to close with. Each is refused at its last byte, not earlier.
    @Test(
        arguments: [
            ("c1", .protocolError), ("a1", .protocolError), ("91", .protocolError),  // reserved bits
            ("83", .protocolError), ("87", .protocolError), ("8b", .protocolError), ("8f", .protocolError),  // opcodes
            ("8105", .protocolError),  // not masked
            ("80", .protocolError), ("00", .protocolError),  // nothing to continue
            ("01 80 00000000 81", .protocolError), ("01 80 00000000 82", .protocolError),  // a message within another
            ("01 80 00000000 80 80 00000000 00", .protocolError),  // the message was over
            ("09", .protocolError), ("08", .protocolError), ("0a", .protocolError),  // fragmented control frames
            ("89fe", .protocolError), ("88ff", .protocolError),  // control frames of more than 125 bytes
            ("81fe007d", .protocolError), ("82fe0000", .protocolError),  // lengths longer than they need be
            ("82ff000000000000ffff", .protocolError), ("82ff8000000000000000", .protocolError),
            ("82ff0000000000011171", .tooBig),  // 70,001
            ("82ff7fffffffffffffff", .tooBig),
            ("88 81 00000000 03", .protocolError),  // half a code
            ("88 82 00000000 03ed", .protocolError), ("88 82 00000000 03ee", .protocolError),  // 1005, 1006
            ("88 82 00000000 03e7", .protocolError), ("88 82 00000000 03ec", .protocolError),
            ("88 82 00000000 03f7", .protocolError),
            ("88 82 00000000 1388", .protocolError), ("88 82 00000000 0000", .protocolError),
            ("88 83 00000000 03e880", .invalidUTF8),
            ("81 8a 00000000 c0", .invalidUTF8), ("81 8a 00000000 eda0", .invalidUTF8),
            ("81 82 00000000 ce80 81 8a 00000000 41 ff", .invalidUTF8),
            ("01 81 00000000 ce 80 85 00000000 41", .invalidUTF8),  // a character cut by a fragment
            ("81 81 00000000 ce", .invalidUTF8),  // ends within a character
            ("01 81 00000000 ce 80 80 00000000", .invalidUTF8),
        ] as [(String, CloseCode)])
    func refused(_ hex: String, _ code: CloseCode) {
        let digits = hex.filter { $0 != " " }
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap { offset -> UInt8? in
            let start = digits.index(digits.startIndex, offsetBy: offset)
            return UInt8(digits[start...].prefix(2), radix: 16)
        }
        #expect(Self.decode([bytes]).error == code)
        #expect(Self.decode(bytes.map { [$0] }).error == code)
        #expect(Self.decode(bytes.dropLast().map { [$0] }).error == nil, "refused too early")
    }

    @Test func messageLimit() {
        let limits = WebSocketDecoder.Limits(messageBytes: 10, fragments: 3)
        let ten = [UInt8](repeating: 0x41, count: 10)
        #expect(Self.decode([Self.frame(1, ten)], limits: limits).error == nil)
        #expect(Self.decode([Self.frame(1, ten + [0x41])], limits: limits).error == .tooBig)
        let begun = Self.frame(1, Array(ten[..<6]), final: false)
        #expect(Self.decode([begun + Self.frame(0, Array(ten[6...]))], limits: limits).error == nil)
        #expect(Self.decode([begun + Self.frame(0, Array(ten[5...]))], limits: limits).error == .tooBig)
        // Control frames count for neither limit.
        let pings = Self.frame(9, ten + ten) + Self.frame(9, []) + Self.frame(9, [])
        #expect(Self.decode([begun + pings + Self.frame(0, [])], limits: limits).error == nil)
        let empty = Self.frame(0, [], final: false)
        #expect(Self.decode([begun + empty + Self.frame(0, [])], limits: limits).error == nil)
        #expect(Self.decode([begun + empty + empty + Self.frame(0, [])], limits: limits).error == .tooBig)
    }

    @Test func validCloseCodes() {
        #expect(Self.decode([Self.frame(8, [])]).events == [.close(code: nil, reason: "")])
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] as [UInt16] {
            let bytes = Self.frame(8, [UInt8(code >> 8), UInt8(code & 255)])
            #expect(Self.decode([bytes]).events == [.close(code: code, reason: "")])
        }
    }

    /// After a refusal nothing more is decoded, and thrown only once.
    @Test func failedIsFailed() throws {
        var decoder = WebSocketDecoder(limits: Self.limits)
        var bad = ByteBuffer(bytes: [0x83] + Self.frame(1, [0x41]))
        decoder.feed(&bad)
        #expect(throws: WebSocketError.self) { try decoder.next() }
        var good = ByteBuffer(bytes: Self.frame(1, [0x41]))
        decoder.feed(&good)
        #expect(good.readableBytes == 0)
        #expect(try decoder.next() == nil)
    }

    /// Random changes to a conversation neither crash, nor give text that is not UTF-8, nor depend on the pieces.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func mutations(seed: UInt64) {
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let zero: [UInt8] = [0, 0, 0, 0]
        let original =
            Self.frame(1, Array("héllo wörld".utf8), mask: zero) + Self.frame(9, [1], mask: zero)
            + Self.frame(1, Array("é🚕".utf8.prefix(3)), final: false, mask: zero) + Self.frame(10, [], mask: zero)
            + Self.frame(0, Array("é🚕".utf8.dropFirst(3)), mask: zero)
            + Self.frame(2, [UInt8](repeating: 9, count: 200))
            + Self.frame(8, [3, 0xe8], mask: zero)
        var failed = 0
        var seen = 0
        for _ in 0..<10_000 {
            var bytes = original
            for _ in 0...random(3) {
                switch random(3) {
                case 0: bytes[random(bytes.count)] ^= UInt8(1 << random(8))
                case 1: bytes.remove(at: random(bytes.count))
                default: bytes.insert(UInt8(random(256)), at: random(bytes.count))
                }
            }
            let whole = Self.decode([bytes])
            let dripped = Self.decode(bytes.map { [$0] })
            #expect(whole.events == dripped.events && whole.error == dripped.error)
            for case .text(let text) in whole.events {
                #expect(String(validating: text.readableBytesView, as: UTF8.self) != nil)
            }
            seen += whole.events.count
            if whole.error != nil { failed += 1 }
        }
        #expect(failed > 1_000 && seen > 10_000)
    }
}
