import MartletGRPC
import MartletWire
import NIOCore
import Testing

/// The same messages come out however the bytes are cut, and nothing is kept that is too long.
struct FrameDecoderTests {
    private let gunzip = Gunzip()

    private static func frame(_ payload: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        let count = UInt32(payload.count)
        return [flag, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + payload
    }

    private func decode(
        _ pieces: some Sequence<[UInt8]>, encoding: GRPCRequestHead.Encoding = .identity, most: Int = 1_000
    ) -> (messages: [[UInt8]], error: GRPCStatus?, isWithin: Bool) {
        var decoder = GRPCFrameDecoder(encoding: encoding)
        var messages: [[UInt8]] = []
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            decoder.feed(&buffer)
            do throws(GRPCStatus) {
                while let message = try decoder.next(most: most, gunzip: self.gunzip) { messages.append(Array(message.readableBytesView)) }
            } catch {
                return (messages, error, decoder.isWithinMessage)
            }
            #expect(decoder.heldBytes < most + GRPCFrameDecoder.prefixBytes)
        }
        return (messages, nil, decoder.isWithinMessage)
    }

    private static func gzip(_ bytes: [UInt8]) throws -> [UInt8] { Array(try #require(Gzip().deflate(ByteBuffer(bytes: bytes))).readableBytesView) }

    @Test func `Cut anywhere`() throws {
        let long = [UInt8](repeating: 7, count: 900)
        let payloads: [[UInt8]] = [[], [1], Array("hello".utf8), [], long]
        let bytes = payloads.flatMap { Self.frame($0) } + Self.frame(try Self.gzip(long), flag: 1)
        for size in [1, 2, 4, 5, 6, 7, 100, bytes.count] {
            let pieces = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
            let result = self.decode(pieces, encoding: .gzip)
            #expect(result.messages == payloads + [long] && result.error == nil && !result.isWithin, "pieces of \(size)")
        }
        for cut in 0...bytes.count {
            #expect(self.decode([Array(bytes[..<cut]), Array(bytes[cut...])], encoding: .gzip).messages == payloads + [long], "cut at \(cut)")
        }
    }

    @Test func `A message that did not come as a whole is seen`() {
        let bytes = Self.frame([1, 2, 3])
        for cut in 1..<bytes.count { #expect(self.decode([Array(bytes[..<cut])]).isWithin) }
    }

    @Test func `Too long by its length alone`() {
        let result = self.decode([[0, 0, 0, 3, 0xe9]])
        #expect(result.error?.code == .resourceExhausted && result.error?.error == .messageTooLarge && result.error?.limit == 1_000)
        #expect(self.decode([Self.frame([UInt8](repeating: 0, count: 1_000))]).error == nil)
    }

    @Test(arguments: [[2, 0, 0, 0, 0], [255, 0, 0, 0, 0], [1, 0, 0, 0, 0]] as [[UInt8]])
    func `Flags that there are not`(bytes: [UInt8]) {
        #expect(self.decode([bytes]).error?.code == .internal)
    }

    @Test func `What is compressed stops at the limit`() throws {
        let bomb = try Self.gzip([UInt8](repeating: 0, count: 200_000))
        #expect(bomb.count < 1_000)
        #expect(self.decode([Self.frame(bomb, flag: 1)], encoding: .gzip).error?.code == .resourceExhausted)
        let fits = try Self.gzip([UInt8](repeating: 0, count: 1_000))
        #expect(self.decode([Self.frame(fits, flag: 1)], encoding: .gzip).messages.first?.count == 1_000)
    }

    @Test func `What is not gzip`() throws {
        let good = try Self.gzip(Array(repeating: 9, count: 600))
        let bad: [[UInt8]] = [[1, 2, 3], Array(good.dropLast()), Array(good.dropLast(8)), good + [0], [0x1f, 0x8b], Array(good[1...])]
        for bytes in bad { #expect(self.decode([Self.frame(bytes, flag: 1)], encoding: .gzip).error?.code == .internal, "\(bytes.count) bytes") }
        // One that failed leaves nothing behind.
        #expect(self.decode([Self.frame(good, flag: 1)], encoding: .gzip).messages.first?.count == 600)
    }

    @Test func `Short messages, and those that get no shorter, are not compressed`() {
        #expect(Gzip().deflate(ByteBuffer(repeating: 1, count: 255)) == nil)
        #expect(Gzip().deflate(ByteBuffer(repeating: 1, count: 256)) != nil)
        var random = SystemRandomNumberGenerator()
        #expect(Gzip().deflate(ByteBuffer(bytes: (0..<300).map { _ in UInt8.random(in: 0...255, using: &random) })) == nil)
    }
}
