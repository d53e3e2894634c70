import MartletCore
import MartletHTTP
import MartletNet
import MartletWire
import NIOCore
import NIOEmbedded
import Testing

/// Messages of topics: encoded once, the same bytes for everybody.
struct TopicFramesTests {
    private static let text = #""id":"\#(Samples.id)","at":1763690947123,"topic":"a/b","data":1"#

    private func message(_ fragment: String = text) -> StoredMessage {
        StoredMessage(
            id: Samples.id, offset: 7, priority: .medium, at: 1, expiresAt: 2, collapseKey: nil, fragment: Array(fragment.utf8))
    }

    private func delivery(
        _ message: StoredMessage, cursor: Cursor? = nil, isShared: Bool = false, isRetained: Bool = false,
        frames: SharedFrames = SharedFrames()
    ) -> TopicDelivery {
        TopicDelivery(message: message, isRetained: isRetained, cursor: cursor, isCursorShared: isShared, frames: frames)
    }

    /// Everything that a turn writes.
    private func written(_ write: (inout StreamOutput) -> Void) -> [ByteBuffer] {
        var output = StreamOutput()
        write(&output)
        var pieces = output.takeEarlier() ?? []
        let channel = EmbeddedChannel()
        if let last = output.take() { channel.pipeline.syncOperations.writeAndFlush(last, promise: nil) }
        while let piece = try? channel.readOutbound(as: ByteBuffer.self) { pieces.append(piece) }
        #expect(output.take() == nil)
        return pieces
    }

    private func sse(_ deliveries: TopicDelivery...) -> String {
        self.written { for delivery in deliveries { TopicFrames.sse(delivery, to: &$0) } }.map { String(buffer: $0) }.joined()
    }

    /// The payload of the only frame; nil if its header is wrong.
    private func webSocket(_ delivery: TopicDelivery) -> String? {
        let bytes = self.written { TopicFrames.webSocket(delivery, to: &$0) }.flatMap { Array($0.readableBytesView) }
        guard bytes.count >= 4, bytes[0] == 0x81 else { return nil }
        let (length, start) =
            switch bytes[1] {
            case 127: (bytes[2...9].reduce(0) { $0 << 8 | Int($1) }, 10)
            case 126: (Int(bytes[2]) << 8 + Int(bytes[3]), 4)
            default: (Int(bytes[1]), 2)
            }
        return bytes.count == start + length ? String(decoding: bytes[start...], as: UTF8.self) : nil
    }

    @Test func serverSentEvents() {
        let message = self.message()
        let cursor = Samples.cursor
        #expect(self.sse(self.delivery(message)) == "data: {\(Self.text)}\n\n")
        for isShared in [true, false] {
            #expect(
                self.sse(self.delivery(message, cursor: cursor, isShared: isShared)) == "id: \(cursor)\ndata: {\(Self.text)}\n\n")
        }
        #expect(self.sse(self.delivery(message, isRetained: true)) == "data: {\"retained\":true,\(Self.text)}\n\n")
        #expect(
            self.sse(self.delivery(message, cursor: cursor, isRetained: true))
                == "id: \(cursor)\ndata: {\"retained\":true,\(Self.text)}\n\n")
        let lines = self.message("\"data\":{\n\"a\":\r\n1}")
        #expect(self.sse(self.delivery(lines)) == "data: {\"data\":{\ndata: \"a\":\ndata: 1}}\n\n")
        #expect(self.sse(self.delivery(lines, isRetained: true)) == "data: {\"retained\":true,\"data\":{\ndata: \"a\":\ndata: 1}}\n\n")
    }

    @Test(arguments: [1, 200, 5_000, 70_000])
    func webSockets(_ length: Int) {
        let text = "\"data\":\"\(String(repeating: "x", count: length))\""
        let message = self.message(text)
        let cursor = Samples.cursor
        let frames = SharedFrames()
        #expect(self.webSocket(self.delivery(message, frames: frames)) == #"{"message":{\#(text)}}"#)
        for isShared in [true, false, false] {
            #expect(
                self.webSocket(self.delivery(message, cursor: cursor, isShared: isShared, frames: frames))
                    == #"{"message":{"cursor":"\#(cursor)",\#(text)}}"#)
        }
        #expect(self.webSocket(self.delivery(message, isRetained: true)) == #"{"message":{"retained":true,\#(text)}}"#)
    }

    @Test func sharedFormsAreMadeOnce() {
        let message = self.message()
        let frames = SharedFrames()
        let other = Cursor(tag: 0, epoch: 9, appHash: 9, userHash: 0, deviceHash: 0, positions: Positions())
        let first = self.sse(self.delivery(message, cursor: Samples.cursor, isShared: true, frames: frames))
        // Another cursor would show that it was encoded again.
        #expect(first == self.sse(self.delivery(message, cursor: other, isShared: true, frames: frames)))
        #expect(first != self.sse(self.delivery(message, cursor: other, frames: frames)))
    }

    /// What two receivers have queued in a turn stands in memory once, also when it is several messages.
    @Test(arguments: [1, 2, 5])
    func nothingIsCopied(_ count: Int) {
        let all = (0..<count).map { (self.message("\"data\":\($0)"), SharedFrames()) }
        func piece() -> [ByteBuffer] {
            self.written { output in
                for (message, frames) in all { TopicFrames.sse(self.delivery(message, frames: frames), to: &output) }
            }
        }
        let one = piece()
        let two = piece()
        #expect(one == two)
        #expect(one.count == 1)
        #expect(one.first?.memory == two.first?.memory)
        #expect(one.map { String(buffer: $0) }.joined() == (0..<count).map { "data: {\"data\":\($0)}\n\n" }.joined())
    }

    /// Large messages are never copied for a receiver; they wait as pieces.
    @Test func largeOnes() {
        let large = self.message("\"data\":\"\(String(repeating: "x", count: 20_000))\"")
        let frames = SharedFrames()
        let pieces = self.written { output in
            output.append(16) { $0.writeString("before\n\n") }
            TopicFrames.sse(self.delivery(large, frames: frames), to: &output)
            TopicFrames.sse(self.delivery(large, frames: frames), to: &output)
            output.append(16) { $0.writeString("after\n\n") }
        }
        let event = self.sse(self.delivery(large))
        #expect(pieces.map { String(buffer: $0) }.joined() == "before\n\n" + event + event + "after\n\n")
        #expect(pieces.count == 4)
        #expect(pieces.count == 4 && pieces[1].memory == pieces[2].memory)
    }

    /// Receivers of different topics have different things before the same message.
    @Test func differentTurns() {
        let messages = (0..<3).map { (self.message("\"data\":\($0)"), SharedFrames()) }
        func turn(_ order: [Int]) -> String {
            self.written { output in
                for index in order { TopicFrames.sse(self.delivery(messages[index].0, frames: messages[index].1), to: &output) }
                if order.count == 2 { output.append(8) { $0.writeString(":\n\n") } }
            }.map { String(buffer: $0) }.joined()
        }
        func expected(_ order: [Int]) -> String { order.map { "data: {\"data\":\($0)}\n\n" }.joined() + (order.count == 2 ? ":\n\n" : "") }
        for order in [[0, 1, 2], [1, 2], [0, 2], [0, 1, 2], [2], [0, 1]] { #expect(turn(order) == expected(order)) }
    }

    @Test func notices() {
        let gap = TopicGap(topic: "a\"b", reason: .trimmed, from: 3, to: 9)
        #expect(String(decoding: DeliveryJSON.gap(gap), as: UTF8.self) == #"{"reason":"trimmed","topic":"a\"b","from":3,"to":9}"#)
        #expect(
            String(decoding: DeliveryJSON.gap(TopicGap(topic: "a", reason: .beyondEnd)), as: UTF8.self)
                == #"{"reason":"beyond_end","topic":"a"}"#)
        let event = PresenceEvent(
            topic: "a", joined: [.init(user: "u", device: "d"), .init(user: nil, device: "e")], left: [.init(user: "v", device: nil)],
            joinedCount: 2, leftCount: 1, count: 5)
        #expect(
            String(decoding: DeliveryJSON.presence(event), as: UTF8.self)
                == #"{"topic":"a","count":5,"joined":[{"user":"u","device":"d"},{"device":"e"}],"left":[{"user":"v"}],"#
                + #""joinedCount":2,"leftCount":1}"#)
        #expect(
            String(decoding: DeliveryJSON.unsubscribed(TopicFilter(topic: "a"), .forbidden), as: UTF8.self)
                == #"{"topic":"a","reason":"forbidden"}"#)
        let notices = [SubscribedNotice(filter: TopicFilter(topic: "a"), count: 3), SubscribedNotice(filter: TopicFilter(topic: "b"))]
        #expect(String(decoding: DeliveryJSON.subscribed(notices), as: UTF8.self) == #"[{"topic":"a","count":3},{"topic":"b"}]"#)
        var welcome = Samples.welcome
        welcome.topics = notices
        #expect(
            String(decoding: DeliveryJSON.welcome(welcome, withCursor: false), as: UTF8.self)
                == #"{\#(Samples.welcomeJSON),"topics":[{"topic":"a","count":3},{"topic":"b"}]}"#)
        var buffer = ByteBuffer()
        DeliveryJSON.message(self.message(), isRetained: true, into: &buffer)
        #expect(String(buffer: buffer) == #"{"retained":true,\#(Self.text)}"#)
    }
}

extension ByteBuffer {
    /// Where its bytes are.
    fileprivate var memory: UInt { self.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } }
}
