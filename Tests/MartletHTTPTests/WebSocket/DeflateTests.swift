import MartletHTTP
import MartletWire
import NIOCore
import Testing

/// RFC 7692 §7.2: messages compressed and decompressed.
struct DeflateTests {
    private static let limit = 100_000

    private func deflated(_ message: [UInt8], _ deflater: Deflater) -> [UInt8] {
        var buffer = ByteBuffer()
        let isDone = message.withUnsafeBytes { deflater.deflate($0, into: &buffer) }
        #expect(isDone)
        return Array(buffer.readableBytesView)
    }

    private func inflated(_ bytes: [UInt8], _ inflater: Inflater = Inflater(bits: 15), limit: Int = limit) throws(WebSocketError) -> [UInt8] {
        Array(try inflater.inflate(ByteBuffer(bytes: bytes), limit: limit).readableBytesView)
    }

    private func refusal(_ bytes: [UInt8], limit: Int = limit) -> CloseCode? {
        do throws(WebSocketError) {
            _ = try self.inflated(bytes, limit: limit)
            return nil
        } catch {
            return error.code
        }
    }

    /// RFC 7692 §7.2.3.
    @Test(
        arguments: [
            [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            // A block that is not compressed.
            [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            // A last block.
            [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            // Two blocks.
            [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] as [[UInt8]])
    func vectors(bytes: [UInt8]) throws {
        #expect(try self.inflated(bytes) == Array("Hello".utf8))
    }

    /// RFC 7692 §7.2.3.2: the second message refers to the first.
    @Test func sharedContext() throws {
        let inflater = Inflater(bits: 15, keepsContext: true)
        #expect(try self.inflated([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], inflater) == Array("Hello".utf8))
        #expect(try self.inflated([0xf2, 0x00, 0x11, 0x00, 0x00], inflater) == Array("Hello".utf8))
        // Without the first it refers to nothing.
        #expect(self.refusal([0xf2, 0x00, 0x11, 0x00, 0x00]) == .invalidUTF8)
    }

    @Test func anEmptyMessage() throws {
        #expect(try self.inflated([0x00]) == [])
        #expect(try self.inflated([]) == [])
    }

    @Test(arguments: [9, 10, 12, 15] as [Int32], [false, true])
    func thereAndBack(bits: Int32, keepsContext: Bool) throws {
        let deflater = Deflater(bits: bits, keepsContext: keepsContext, level: 1, memoryLevel: 4)
        // The window that was agreed on is enough.
        let inflater = Inflater(bits: bits, keepsContext: keepsContext)
        var random = SystemRandomNumberGenerator()
        for count in [1, 2, 100, 4_000, 70_000] {
            let text = Array(String(repeating: #"{"id":"0197f0c4","state":"arrived"}"#, count: count / 35 + 1).utf8.prefix(count))
            let noise = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            for message in [text, noise, text] {
                let deflated = self.deflated(message, deflater)
                #expect(deflated.count <= Inflater.deflatedMost(message.count))
                #expect(try self.inflated(deflated, inflater) == message)
            }
        }
    }

    @Test func contextMakesRepeatsShort() {
        let message = Array(#"{"message":{"topic":"prices/eur","data":{"bid":1.0834,"ask":1.0836}}}"#.utf8)
        let keeping = Deflater(bits: 11, keepsContext: true, level: 1, memoryLevel: 4)
        let first = self.deflated(message, keeping).count
        #expect(self.deflated(message, keeping).count * 4 < first)
        let forgetting = Deflater(bits: 11, level: 1, memoryLevel: 4)
        #expect(self.deflated(message, forgetting) == self.deflated(message, forgetting))
    }

    /// A bomb is stopped one byte beyond the limit, however much would come.
    @Test func bombs() throws {
        let zeros = [UInt8](repeating: 0, count: 10_000_000)
        let bomb = self.deflated(zeros, Deflater(bits: 15, level: 9, memoryLevel: 9))
        #expect(bomb.count < 20_000)
        #expect(self.refusal(bomb, limit: 65_536) == .tooBig)
        #expect(self.refusal(bomb, limit: zeros.count - 1) == .tooBig)
        #expect(try self.inflated(bomb, limit: zeros.count).count == zeros.count)
        var made = 0
        let inflater = Inflater(bits: 15) { _, plain in made += plain }
        #expect(throws: WebSocketError.self) { try self.inflated(bomb, inflater, limit: 1_000) }
        #expect(made == 0)
        // One for all: what failed leaves nothing behind.
        #expect(try self.inflated([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], inflater) == Array("Hello".utf8))
        #expect(made == 5)
    }

    @Test(
        arguments: [
            // A reserved kind of block, a wrong length, a reference beyond the beginning, an end within a block.
            [0x06], [0x07], [0x00, 0x05, 0x00, 0x00, 0x00, 0x48], [0xf2, 0x00, 0x11, 0x00, 0x00], [0xf2, 0x48, 0xcd],
            [0x00, 0x06, 0x00, 0xf9, 0xff, 0x48], [0xff, 0xff, 0xff, 0xff],
        ] as [[UInt8]])
    func notDeflate(bytes: [UInt8]) {
        #expect(self.refusal(bytes) == .invalidUTF8)
    }

    // MARK: Frames

    private static let limits = WebSocketDecoder.Limits(messageBytes: 5_000, fragments: 8)

    /// A client's frame whose first reserved bit says that it is compressed.
    private static func frame(_ opcode: UInt8, _ payload: [UInt8], final: Bool = true, isDeflated: Bool) -> [UInt8] {
        var frame = WebSocketDecoderTests.frame(opcode, payload, final: final)
        if isDeflated { frame[0] |= 0x40 }
        return frame
    }

    private static func decode(_ pieces: some Sequence<[UInt8]>, keepsContext: Bool = false) -> (events: [WebSocketEvent], error: CloseCode?) {
        WebSocketDecoderTests.decode(
            pieces, by: WebSocketDecoder(limits: Self.limits, inflater: Inflater(bits: 15, keepsContext: keepsContext)))
    }

    /// Any split of the input gives the same events.
    @Test(arguments: [false, true])
    func pieces(keepsContext: Bool) {
        let deflater = Deflater(bits: 15, keepsContext: keepsContext, level: 6, memoryLevel: 8)
        let text = Array(String(repeating: "Grüße 🚕 ", count: 200).utf8)
        let (one, two, three) = (self.deflated(text, deflater), self.deflated(text, deflater), self.deflated([1, 2, 3], deflater))
        var bytes = Self.frame(1, one, isDeflated: true) + Self.frame(1, Array("plain".utf8), isDeflated: false)
        bytes += Self.frame(1, Array(two[..<1]), final: false, isDeflated: true) + Self.frame(9, [7], isDeflated: false)
        bytes += Self.frame(0, [], final: false, isDeflated: false) + Self.frame(0, Array(two[1...]), isDeflated: false)
        bytes += Self.frame(2, three, isDeflated: true) + Self.frame(1, [0], isDeflated: true) + Self.frame(8, [], isDeflated: false)
        let expected: [WebSocketEvent] = [
            .text(ByteBuffer(bytes: text)), .text(ByteBuffer(string: "plain")), .ping(ByteBuffer(bytes: [7])), .text(ByteBuffer(bytes: text)),
            .binary(ByteBuffer(bytes: [1, 2, 3])), .text(ByteBuffer()), .close(code: nil, reason: ""),
        ]
        for size in [1, 2, 3, 5, 7, 13, 64, 1_000, bytes.count] {
            let pieces = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
            let result = Self.decode(pieces, keepsContext: keepsContext)
            #expect(result.events == expected && result.error == nil, "pieces of \(size)")
        }
    }

    @Test func whichFramesMayBeCompressed() {
        let hello: [UInt8] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]
        #expect(WebSocketDecoderTests.decode([Self.frame(1, hello, isDeflated: true)]).error == .protocolError)
        for opcode in [0x8, 0x9, 0xa] as [UInt8] {
            #expect(Self.decode([Self.frame(opcode, [], isDeflated: true)]).error == .protocolError)
        }
        let continued = Self.frame(1, Array(hello[..<3]), final: false, isDeflated: true) + Self.frame(0, Array(hello[3...]), isDeflated: true)
        #expect(Self.decode([continued]).error == .protocolError)
        for bit in [0x20, 0x10] as [UInt8] {
            var frame = Self.frame(1, hello, isDeflated: true)
            frame[0] |= bit
            #expect(Self.decode([frame]).error == .protocolError)
        }
    }

    @Test func limitsOfCompressedMessages() {
        let deflater = Deflater(bits: 15, level: 9, memoryLevel: 9)
        let most = [UInt8](repeating: 0x61, count: 5_000)
        #expect(Self.decode([Self.frame(1, self.deflated(most, deflater), isDeflated: true)]).events.count == 1)
        #expect(Self.decode([Self.frame(1, self.deflated(most + [0x61], deflater), isDeflated: true)]).error == .tooBig)
        // By its length on the wire too, before it is there.
        let long = Self.frame(2, [UInt8](repeating: 0, count: Inflater.deflatedMost(5_000) + 1), isDeflated: true)
        #expect(Self.decode([Array(long.prefix(8))]).error == .tooBig)
    }

    @Test func invalidText() {
        let deflater = Deflater(bits: 15, level: 1, memoryLevel: 8)
        for bytes in [[0xff], [0xc3], Array("abc".utf8) + [0xed, 0xa0, 0x80]] as [[UInt8]] {
            #expect(Self.decode([Self.frame(1, self.deflated(bytes, deflater), isDeflated: true)]).error == .invalidUTF8)
            #expect(Self.decode([Self.frame(2, self.deflated(bytes, deflater), isDeflated: true)]).events.count == 1)
        }
    }
}
