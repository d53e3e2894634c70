import MartletCore
import MartletHTTP
import MartletNet
import MartletWire
import NIOCore
import NIOEmbedded
import Testing

/// Compressed messages of topics: the common part once, whatever stands before it.
struct TopicFramesDeflateTests {
    private static func message(_ count: Int) -> StoredMessage {
        let text = String(repeating: #"{"trip":42,"state":"arrived"},"#, count: count / 30 + 1)
        let fragment = #""id":"\#(Samples.id)","at":1763690947123,"topic":"a/b","data":[\#(text)0]"#
        return StoredMessage(
            id: Samples.id, offset: 7, priority: .medium, at: 1, expiresAt: 2, collapseKey: nil, fragment: Array(fragment.utf8))
    }

    /// The pieces that are written for one receiver.
    private func written(_ delivery: TopicDelivery, _ output: DeflateOutput) -> [ByteBuffer] {
        var stream = StreamOutput()
        TopicFrames.webSocket(delivery, output, to: &stream)
        var pieces = stream.takeEarlier() ?? []
        let channel = EmbeddedChannel()
        if let last = stream.take() { channel.pipeline.syncOperations.writeAndFlush(last, promise: nil) }
        while let piece = try? channel.readOutbound(as: ByteBuffer.self) { pieces.append(piece) }
        return pieces
    }

    /// The text of the only frame, and whether it was compressed.
    private func read(_ pieces: [ByteBuffer], _ inflater: Inflater) throws -> (text: String, isDeflated: Bool) {
        let bytes = pieces.flatMap { Array($0.readableBytesView) }
        let (length, start) =
            switch bytes[1] {
            case 127: (bytes[2...9].reduce(0) { $0 << 8 | Int($1) }, 10)
            case 126: (Int(bytes[2]) << 8 + Int(bytes[3]), 4)
            default: (Int(bytes[1]), 2)
            }
        try #require(bytes.count == start + length)
        let payload = Array(bytes[start...])
        if bytes[0] == 0x81 { return (String(decoding: payload, as: UTF8.self), false) }
        try #require(bytes[0] == 0xc1)
        return (String(buffer: try inflater.inflate(ByteBuffer(bytes: payload), limit: 4 << 20)), true)
    }

    private func loop(_ mode: DeflateSettings.Mode = .shared) -> LoopDeflate {
        var settings = DeflateSettings()
        settings.mode = mode
        return LoopDeflate(settings: settings)
    }

    private func output(_ loop: LoopDeflate, bits: Int32 = 15, keepsContext: Bool = false) -> DeflateOutput {
        var agreement = DeflateAgreement()
        agreement.serverBits = bits
        agreement.serverKeepsContext = keepsContext
        return loop.output(agreement)
    }

    /// Short, long, and longer than what is copied after compressing; with each kind of place.
    @Test(arguments: [300, 5_000, 2_000_000], [false, true])
    func everyForm(count: Int, keepsContext: Bool) throws {
        let message = Self.message(count)
        let output = self.output(self.loop(), bits: keepsContext ? 11 : 15, keepsContext: keepsContext)
        let inflater = Inflater(bits: 15, keepsContext: keepsContext)
        let frames = SharedFrames()
        let body = String(decoding: message.fragment, as: UTF8.self)
        let cursor = Samples.cursor
        let forms: [(cursor: Cursor?, isShared: Bool, isRetained: Bool, beginning: String)] = [
            (nil, false, false, ""), (cursor, true, false, #""cursor":"\#(cursor)","#), (cursor, false, false, #""cursor":"\#(cursor)","#),
            (nil, false, true, #""retained":true,"#), (cursor, false, true, #""cursor":"\#(cursor)","retained":true,"#),
        ]
        for form in forms {
            let delivery = TopicDelivery(
                message: message, isRetained: form.isRetained, cursor: form.cursor, isCursorShared: form.isShared, frames: frames)
            for _ in 0..<2 {
                let pieces = self.written(delivery, output)
                let frame = try self.read(pieces, inflater)
                #expect(frame.isDeflated)
                #expect(frame.text == #"{"message":{\#(form.beginning)\#(body)}}"#)
                #expect(pieces.reduce(0) { $0 + $1.readableBytes } < message.fragment.count)
            }
        }
    }

    /// All connections of a loop with the same window write the same memory; another window has its own.
    @Test func compressedOnce() throws {
        let loop = self.loop()
        let frames = SharedFrames()
        let delivery = TopicDelivery(message: Self.message(1_000), isRetained: false, cursor: nil, isCursorShared: false, frames: frames)
        let place = { (pieces: [ByteBuffer]) in pieces.map { $0.withUnsafeReadableBytes { $0.baseAddress } } }
        let first = self.written(delivery, self.output(loop))
        #expect(place(self.written(delivery, self.output(loop))) == place(first))
        let narrow = self.written(delivery, self.output(loop, bits: 9))
        #expect(place(narrow) != place(first))
        #expect(place(self.written(delivery, self.output(loop, bits: 9))) == place(narrow))
        #expect(try self.read(narrow, Inflater(bits: 9)).text == self.read(first, Inflater(bits: 15)).text)
    }

    /// What is short, or random, goes as it is, and all receivers share that.
    @Test func notWorthIt() throws {
        let noise = (0..<400).map { _ in Character(UnicodeScalar(UInt8.random(in: 0x21...0x7e))) }.filter { $0 != "\"" && $0 != "\\" }
        let short = StoredMessage(
            id: Samples.id, offset: 7, priority: .medium, at: 1, expiresAt: 2, collapseKey: nil, fragment: Array(repeating: 0x61, count: 255))
        let output = self.output(self.loop())
        let frames = SharedFrames()
        let delivery = TopicDelivery(message: short, isRetained: false, cursor: nil, isCursorShared: false, frames: frames)
        #expect(try self.read(self.written(delivery, output), Inflater(bits: 15)).isDeflated == false)
        // Compressed it is smaller, if only a little; the limit of what pays is about its own size.
        let random = StoredMessage(
            id: Samples.id, offset: 7, priority: .medium, at: 1, expiresAt: 2, collapseKey: nil, fragment: Array(String(noise).utf8))
        let pieces = self.written(
            TopicDelivery(message: random, isRetained: false, cursor: nil, isCursorShared: false, frames: SharedFrames()), output)
        #expect(try self.read(pieces, Inflater(bits: 15)).text == #"{"message":{\#(String(noise))}}"#)
        #expect(pieces.reduce(0) { $0 + $1.readableBytes } <= random.fragment.count + 17)
    }
}
