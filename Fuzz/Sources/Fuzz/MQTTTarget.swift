import MartletMQTT
import NIOCore

/// The same bytes say the same packets however they are cut; what they say is written as packets that say it again; no more waits
/// than what came of one packet.
enum MQTTTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        var choices = Choices(bytes)
        let first = choices.byte()
        // With a version given a stream needs no CONNECT; a server's packets always need it.
        let sender: MQTTSender = first & 1 == 0 ? .client : .server
        let version: MQTTVersion? = sender == .client && first & 6 == 0 ? nil : [.v5, .v311, .v5, .v31][Int(first >> 1 & 3)]
        let limits = MQTTDecoder.Limits(
            packetBytes: Int(choices.byte()) * 16 + 2, userProperties: Int(first >> 3 & 7), filters: Int(first >> 6) + 1, topicAlias: 300,
            checksPayloadFormat: first & 8 == 0)
        let decoder = MQTTDecoder(from: sender, version: version, limits: limits)
        let cuts = choices.bytes(Int(choices.byte() & 15))
        let stream = Array(choices.rest)

        let whole = Self.decode([stream], decoder)
        check(Self.decode(pieces(of: stream, cuts), decoder) == whole, "pieces say something else")
        check(Self.decode(stream.map { [$0] }, decoder) == whole, "single bytes say something else")
        if let error = whole.error { check(error.code.isFailure && !error.reason.isEmpty, "refused with \(error)") }
        Self.thereAndBack(whole, sender)
    }

    private struct Outcome: Equatable {
        var packets: [MQTTPacket] = []
        var error: MQTTError?
        var version: MQTTVersion?
    }

    private static func decode(_ pieces: [[UInt8]], _ decoder: MQTTDecoder) -> Outcome {
        var stream = MQTTStreamDecoder(decoder)
        var outcome = Outcome()
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            stream.feed(&buffer)
            do throws(MQTTError) {
                while let packet = try stream.next() {
                    check(outcome.error == nil, "something after the error")
                    outcome.packets.append(packet)
                }
            } catch {
                check(outcome.error == nil, "thrown twice")
                outcome.error = error
            }
            // Of a fixed header four bytes may wait.
            check(stream.bufferedBytes < max(5, decoder.limits.packetBytes), "a packet waits that is too long")
        }
        outcome.version = stream.version
        return outcome
    }

    private static func thereAndBack(_ outcome: Outcome, _ sender: MQTTSender) {
        guard let version = outcome.version else { return }
        for packet in outcome.packets {
            // A second CONNECT of another version is written in its own.
            let encoder = MQTTEncoder(version: version)
            var written = ByteBuffer(string: "before")
            check(encoder.encode(packet, into: &written), "not written: \(packet)")
            written.moveReaderIndex(forwardBy: 6)
            let bytes = written
            var decoder = MQTTDecoder(from: sender, version: version, limits: .init(packetBytes: .max, checksPayloadFormat: false))
            let again = try? decoder.decode(&written)
            // Strings are equal in more ways than their bytes are: those are compared too.
            check(again == packet && written.readableBytes == 0, "something else comes back for \(packet)")
            var twice = ByteBuffer()
            check(again.map { encoder.encode($0, into: &twice) } == true && twice == bytes, "written otherwise: \(packet)")
            if case .publish(let publish) = packet { Self.frame(publish, version, bytes) }
            Self.shrink(packet, version, bytes.readableBytes)
        }
    }

    /// A frame for many receivers is what the packet is by itself.
    private static func frame(_ publish: MQTTPacket.Publish, _ version: MQTTVersion, _ expected: ByteBuffer) {
        guard let frame = MQTTPublishFrame(publish, version: version) else { return check(false, "no frame") }
        check(frame.size == expected.readableBytes && publish.encodedBytes(version) == frame.size, "a wrong size")
        var bytes = ByteBuffer(string: "x")
        frame.write(packetID: publish.packetID ?? 0, isDuplicate: publish.isDuplicate, into: &bytes)
        bytes.moveReaderIndex(forwardBy: 1)
        check(bytes == expected, "the frame is another")
        var parts = frame.head(packetID: publish.packetID ?? 0, isDuplicate: publish.isDuplicate)
        parts.writeImmutableBuffer(frame.payload)
        check(parts == expected, "the frame in parts is another")
    }

    /// A smaller receiver gets a smaller packet or none.
    private static func shrink(_ packet: MQTTPacket, _ version: MQTTVersion, _ size: Int) {
        for most in [size, size - 1, size / 2] {
            var bytes = ByteBuffer()
            let isWritten = MQTTEncoder(version: version, packetBytes: most).encode(packet, into: &bytes)
            check(bytes.readableBytes <= most && isWritten == (bytes.readableBytes > 0), "more than the receiver takes")
        }
    }
}
