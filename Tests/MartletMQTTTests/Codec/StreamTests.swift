import MartletMQTT
import NIOCore
import NIOTestUtils
import Testing

/// The same packets come out however the stream is cut.
struct MQTTStreamTests {
    /// What the pieces say: packets up to the refusal, and its code.
    private func decode(
        _ pieces: some Sequence<[UInt8]>, limits: MQTTDecoder.Limits = Wire.limits
    ) -> (packets: [MQTTPacket], error: MQTTReasonCode?, most: Int) {
        var stream = MQTTStreamDecoder(MQTTDecoder(limits: limits))
        var packets: [MQTTPacket] = []
        var error: MQTTReasonCode?
        var most = 0
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            stream.feed(&buffer)
            do throws(MQTTError) {
                while let packet = try stream.next() { packets.append(packet) }
            } catch let refusal {
                #expect(error == nil, "refused twice")
                error = refusal.code
            }
            most = max(most, stream.bufferedBytes)
        }
        return (packets, error, most)
    }

    /// A CONNECT and all that a client may send after it.
    private func conversation(_ version: MQTTVersion) -> (bytes: [UInt8], packets: [MQTTPacket]) {
        let all = VectorTests.connecting + VectorTests.messages + VectorTests.subscribing
        var connects: [VectorTests.Vector] = []
        var others: [VectorTests.Vector] = []
        for vector in all where vector.version == version && vector.sender == .client {
            if case .connect = vector.packet { connects.append(vector) } else { others.append(vector) }
        }
        let vectors = connects.prefix(1) + others
        let long = MQTTPacket.publish(.init(topic: "long", payload: ByteBuffer(repeating: 5, count: 70_000)))
        return (
            vectors.flatMap(\.bytes) + (Wire.encode(long, version) ?? []) + (vectors.last?.bytes ?? []),
            vectors.map(\.packet) + [long] + vectors.suffix(1).map(\.packet)
        )
    }

    @Test(arguments: [.v311, .v5] as [MQTTVersion])
    func pieces(version: MQTTVersion) {
        let (bytes, packets) = self.conversation(version)
        #expect(packets.count > 6)
        for size in [1, 2, 3, 7, 64, 127, 4_096, 69_999, bytes.count] {
            let result = self.decode(stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) })
            #expect(result.packets == packets && result.error == nil, "pieces of \(size)")
        }
    }

    private struct Wrapper: ByteToMessageDecoder {
        typealias InboundOut = MQTTPacket

        var decoder: MQTTDecoder

        mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
            guard let packet = try self.decoder.decode(&buffer) else { return .needMoreData }
            context.fireChannelRead(Self.wrapInboundOut(packet))
            return .continue
        }

        mutating func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
            try self.decode(context: context, buffer: &buffer)
        }
    }

    @Test func verified() throws {
        for version in [MQTTVersion.v311, .v5] {
            for sender in [MQTTSender.client, .server] {
                let pairs = (VectorTests.connecting + VectorTests.messages + VectorTests.subscribing)
                    .filter { $0.version == version && $0.sender == sender }
                    .map { (ByteBuffer(bytes: $0.bytes), [$0.packet]) }
                #expect(pairs.count > 3)
                try ByteToMessageDecoderVerifier.verifyDecoder(inputOutputPairs: pairs) {
                    Wrapper(decoder: MQTTDecoder(from: sender, version: version, limits: Wire.limits))
                }
            }
        }
    }

    /// A packet beyond the limit is refused with its fixed header, and nothing of it stays; nothing comes after a refusal.
    @Test func tooLong() {
        let connect = RefusalTests.connectBytes()
        let result = self.decode([connect, [0x30] + Wire.length(100_000), [UInt8](repeating: 0, count: 100_000), [0xc0, 0]])
        #expect(result.packets.count == 1 && result.error == .packetTooLarge && result.most == 0)
    }

    /// No more waits than what came of one packet.
    @Test func waiting() {
        let connect = RefusalTests.connectBytes()
        let publish = Wire.packet(0x30, Wire.text("t"), [0], [UInt8](repeating: 1, count: 500))
        let result = self.decode([connect + publish + publish.prefix(100), Array(publish.dropFirst(100)) + connect.prefix(3)])
        #expect(result.packets.count == 3 && result.error == nil && result.most == 100)
        #expect(self.decode((connect + publish + publish).map { [$0] }).most == publish.count - 1)
    }

    /// A payload that came whole is a view of what was read; one that came in parts does not hold on to the first read.
    @Test func copies() throws {
        var decoder = MQTTDecoder(version: .v311, limits: Wire.limits)
        decoder.limits.packetBytes = 1_000
        var stream = MQTTStreamDecoder(decoder)
        let publish = Wire.packet(0x30, Wire.text("t"), [UInt8](repeating: 1, count: 500))
        var read = ByteBuffer(bytes: publish)
        let address = read.withUnsafeReadableBytes { $0.baseAddress }
        stream.feed(&read)
        guard case .publish(let packet)? = try stream.next() else {
            Issue.record("no packet")
            return
        }
        let offset = publish.count - 500
        #expect(packet.payload.withUnsafeReadableBytes { $0.baseAddress } == address.map { $0 + offset })
    }

    /// Limits may change between packets.
    @Test func changingLimits() throws {
        var stream = MQTTStreamDecoder(MQTTDecoder(limits: .init(packetBytes: 20)))
        var connect = ByteBuffer(bytes: RefusalTests.connectBytes())
        stream.feed(&connect)
        #expect(try stream.next() != nil && stream.version == .v5)
        stream.limits.packetBytes = 600
        var publish = ByteBuffer(bytes: Wire.packet(0x30, Wire.text("t"), [0], [UInt8](repeating: 1, count: 500)))
        stream.feed(&publish)
        #expect(try stream.next() != nil)
    }
}
