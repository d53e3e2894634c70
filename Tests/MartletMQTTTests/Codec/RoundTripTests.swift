import MartletMQTT
import MartletTestSupport
import NIOCore
import Testing

/// What is written is read as the same, and written again as the same bytes.
struct RoundTripTests {
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func randomPackets(seed: UInt64) throws {
        var packets = RandomPackets(seed: seed)
        var kinds: Set<UInt8> = []
        for round in 0..<3_000 {
            let version = MQTTVersion.allCases[round % 3]
            let sender: MQTTSender = packets.random.chance(50) ? .client : .server
            let packet = packets.packet(sender, version)
            let bytes = try #require(Wire.encode(packet, version), "\(packet)")
            let limits = MQTTDecoder.Limits(packetBytes: bytes.count)
            #expect(try Wire.decode(bytes, version, from: sender, limits: limits) == packet)
            kinds.insert(bytes[0] >> 4)
        }
        #expect(kinds == Set(1...15))
    }

    /// Many packets in one stream, cut at random.
    @Test(arguments: [11, 12] as [UInt64])
    func randomStreams(seed: UInt64) throws {
        var random = RandomPackets(seed: seed)
        for version in MQTTVersion.allCases {
            let packets = (0..<300).map { _ in random.packet(.client, version) }
            var bytes = ByteBuffer()
            let encoder = MQTTEncoder(version: version)
            for packet in packets { #expect(encoder.encode(packet, into: &bytes)) }
            var stream = MQTTStreamDecoder(MQTTDecoder(version: version, limits: .init(packetBytes: 100_000)))
            var seen: [MQTTPacket] = []
            while bytes.readableBytes > 0 {
                let count = min(bytes.readableBytes, random.random.below(random.random.chance(10) ? 5_000 : 60))
                var piece = bytes.readSlice(length: count) ?? ByteBuffer()
                stream.feed(&piece)
                while let packet = try stream.next() { seen.append(packet) }
            }
            #expect(seen == packets)
        }
    }

    /// Bytes changed at random are refused or say something that can be written and read.
    @Test(arguments: [21, 22] as [UInt64])
    func damaged(seed: UInt64) throws {
        var packets = RandomPackets(seed: seed)
        var refused = 0
        for _ in 0..<4_000 {
            var bytes = try #require(Wire.encode(packets.packet(.client, .v5), .v5))
            bytes[packets.random.below(bytes.count)] = UInt8(packets.random.below(256))
            var decoder = MQTTDecoder(version: .v5, limits: .init(packetBytes: 100_000))
            var buffer = ByteBuffer(bytes: bytes)
            do throws(MQTTError) {
                guard let packet = try decoder.decode(&buffer) else { continue }
                let again = Wire.encode(packet, .v5)
                #expect(again != nil && Wire.refusal(again ?? [], .v5, limits: .init(packetBytes: 100_000)) == nil)
            } catch {
                #expect(error.code.isFailure)
                refused += 1
            }
        }
        #expect(refused > 400)
    }
}
