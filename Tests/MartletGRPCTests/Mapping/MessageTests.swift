import MartletCore
import MartletGRPC
import MartletNet
import MartletProto
import MartletWire
import NIOCore
import SwiftProtobuf
import Testing

/// What is written by hand is what SwiftProtobuf reads, and the other way round.
struct MessageTests {
    private static let id = MessageID(milliseconds: 1_763_690_947_123, counter: 7, random: 99)
    private static let cursor = Cursor(tag: 1, epoch: 2, appHash: 3, userHash: 4, deviceHash: 5, positions: Positions())

    private static func stored(_ members: String, priority: Priority = .medium) -> StoredMessage {
        StoredMessage(
            id: Self.id, offset: 5, priority: priority, at: 1_763_690_947_123, expiresAt: .max, collapseKey: nil,
            fragment: StoredMessage.fragment(id: Self.id, at: 1_763_690_947_123, members: Array(members.utf8)))
    }

    private static func decoded(_ members: String, isTopic: Bool = false, priority: Priority = .medium) throws -> ProtoMessage {
        var buffer = ByteBuffer()
        MessageFields.write(Self.stored(members, priority: priority), isTopic: isTopic, into: &buffer)
        return try ProtoMessage(serializedBytes: Array(buffer.readableBytesView))
    }

    @Test func `Of an inbox`() throws {
        let message = try Self.decoded(
            #""type":"trip","data":{"a":[1,2.50, "x"]},"notification":{"title":"Hi"},"priority":"high""#, priority: .high)
        #expect(message.id == "\(Self.id)" && message.atMs == 1_763_690_947_123 && message.type == "trip" && message.priority == .high)
        #expect(message.data == .json(#"{"a":[1,2.50, "x"]}"#) && message.notificationJson == #"{"title":"Hi"}"#)
        #expect(message.extraJson.isEmpty && message.topic.isEmpty && message.unknownFields.data.isEmpty)
    }

    @Test func `Of a topic`() throws {
        let message = try Self.decoded(#""topic":"a\/b\u00e9\n","data":"text""#, isTopic: true)
        #expect(message.topic == "a/b\u{e9}\n" && message.data == .json(#""text""#) && message.priority == .unspecified)
    }

    @Test(arguments: [0, 1, 2, 3, 4, 5, 300])
    func `Binary`(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        var text: [UInt8] = []
        bytes.withUnsafeBytes { Base64.append($0, to: &text) }
        let message = try Self.decoded(#""dataBase64":"\#(String(decoding: text, as: UTF8.self))","contentType":"image/png""#)
        guard case .binary(let data)? = message.data else { return #expect(Bool(false), "no binary") }
        #expect(Array(data) == bytes && message.contentType == "image/png")
    }

    @Test func `Everything else is kept as JSON`() throws {
        let message = try Self.decoded(#""data":null,"responseTopic":"r","userProperties":[["a","b"]],"payloadFormat":"utf8""#, isTopic: true)
        #expect(message.data == .json("null"))
        #expect(message.extraJson == #"{"responseTopic":"r","userProperties":[["a","b"]],"payloadFormat":"utf8"}"#)
    }

    @Test func `Without data`() throws { #expect(try Self.decoded(#""priority":"medium""#).data == nil) }

    @Test func `What a receiver has of its own`() throws {
        for seq in [1, 127, 128, 16_384, UInt64.max] {
            var buffer = ByteBuffer()
            let delivery = Delivery(message: Self.stored(#""data":1"#), seq: seq, redelivered: seq > 1, cursor: Self.cursor)
            MessageFields.write(delivery.message, isTopic: false, into: &buffer)
            PushFrames.writeOwn(delivery, into: &buffer)
            let message = try ProtoMessage(serializedBytes: Array(buffer.readableBytesView))
            #expect(message.seq == seq && message.redelivered == (seq > 1) && message.cursor == "\(Self.cursor)")
        }
    }

    @Test(arguments: [1, 100, 200, 5_000, 70_000])
    func `A shared frame is one message, with gzip and without`(count: Int) throws {
        let text = String(repeating: "ab", count: count)
        for withCursor in [false, true] {
            let delivery = TopicDelivery(
                message: Self.stored(#""topic":"t","data":"\#(text)""#), isRetained: false, cursor: Self.cursor, isCursorShared: true,
                frames: SharedFrames())
            let shared = PushFrames.shared(delivery, withCursor: withCursor)
            #expect(PushFrames.shared(delivery, withCursor: withCursor) === shared)
            let gzip = Gzip()
            for (frame, encoding) in [(shared.frame, GRPCRequestHead.Encoding.identity), (shared.compressed(gzip), .gzip)] {
                var decoder = GRPCFrameDecoder(encoding: encoding)
                var bytes = frame.bytes
                decoder.feed(&bytes)
                let payload = try #require(try decoder.next(most: 1_000_000, gunzip: Gunzip()))
                #expect(!decoder.isWithinMessage)
                let response = try ProtoConnectResponse(serializedBytes: Array(payload.readableBytesView))
                #expect(response.message.json == "\"\(text)\"" && response.message.cursor == (withCursor ? "\(Self.cursor)" : ""))
            }
            let fields = try ProtoMessage(serializedBytes: Array(shared.fields.readableBytesView))
            #expect(fields.json == "\"\(text)\"")
            #expect(try ProtoConnectResponse(serializedBytes: Array(shared.bare.readableBytesView)).message == fields)
        }
    }

    // MARK: Acks

    @Test func `An ack is read by hand as SwiftProtobuf reads it`() throws {
        for seq in [1, 127, 128, 300, 1 << 35, UInt64(Int64.max)] {
            let bytes: [UInt8] = try ProtoConnectRequest.with { $0.ack.upTo = seq }.serializedBytes()
            #expect(AckFrame.upTo(ByteBuffer(bytes: bytes)) == seq)
            for count in 0..<bytes.count { #expect(AckFrame.upTo(ByteBuffer(bytes: bytes[..<count])) == nil) }
            #expect(AckFrame.upTo(ByteBuffer(bytes: bytes + [0])) == nil)
        }
    }

    @Test func `What is no such ack is left to SwiftProtobuf`() throws {
        let others: [ProtoConnectRequest] = [
            .with { $0.ack = .init() }, .with { $0.ack.seqs = [1, 2] }, .with { $0.ack.cursor = "ab" }, .with { $0.ping.id = 3 },
            .with { $0.hello = .init() }, .init(),
        ]
        for request in others { #expect(AckFrame.upTo(ByteBuffer(bytes: try request.serializedBytes() as [UInt8])) == nil) }
        // A number that does not end, and one of more than 64 bits.
        #expect(AckFrame.upTo(ByteBuffer(bytes: [0x12, 0x02, 0x08, 0x80])) == nil)
        #expect(AckFrame.upTo(ByteBuffer(bytes: [0x12, 0x0b, 0x08] + [UInt8](repeating: 0xff, count: 10))) == nil)
    }
}
