import MartletCore
import MartletHTTP
import MartletWire
import NIOCore
import Testing

struct WebSocketEncoderTests {
    private func bytes(_ write: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        write(&buffer)
        return Array(buffer.readableBytesView)
    }

    /// The payload of the only frame; nil if its header is wrong.
    private func text(_ write: (inout ByteBuffer) -> Void) -> String? {
        let bytes = self.bytes(write)
        guard bytes.count >= 2, bytes[0] == 0x81 else { return nil }
        if bytes[1] <= 125 {
            return bytes.count == Int(bytes[1]) + 2 ? String(decoding: bytes[2...], as: UTF8.self) : nil
        }
        guard bytes[1] == 126, bytes.count == Int(bytes[2]) << 8 + Int(bytes[3]) + 4 else { return nil }
        return String(decoding: bytes[4...], as: UTF8.self)
    }

    /// RFC 6455 §5.7.
    @Test func vectors() {
        #expect(
            self.bytes { WebSocketEncoder.text("Hello".utf8, into: &$0) } == [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f])
        #expect(
            self.bytes { WebSocketEncoder.frame(.ping, ByteBuffer(string: "Hello"), into: &$0) } == [
                0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f,
            ])
        #expect(self.bytes { WebSocketEncoder.ping(into: &$0) } == [0x89, 0x00])
        #expect(self.bytes { WebSocketEncoder.header(.binary, count: 125, into: &$0) } == [0x82, 0x7d])
        #expect(self.bytes { WebSocketEncoder.header(.binary, count: 126, into: &$0) } == [0x82, 0x7e, 0x00, 0x7e])
        #expect(self.bytes { WebSocketEncoder.header(.binary, count: 256, into: &$0) } == [0x82, 0x7e, 0x01, 0x00])
        #expect(self.bytes { WebSocketEncoder.header(.binary, count: 65_535, into: &$0) } == [0x82, 0x7e, 0xff, 0xff])
        #expect(
            self.bytes { WebSocketEncoder.header(.binary, count: 65_536, into: &$0) } == [
                0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0,
            ])
    }

    @Test func close() {
        #expect(self.bytes { WebSocketEncoder.close(nil, into: &$0) } == [0x88, 0x00])
        #expect(
            self.bytes { WebSocketEncoder.close(.takenOver, into: &$0) } == [0x88, 12, 0x11, 0x94]
                + Array("taken over".utf8))
        // Cut at a character: 61 times two bytes are 122, the next would be the 123rd and 124th.
        let long = self.bytes { WebSocketEncoder.close(1000, reason: String(repeating: "é", count: 90), into: &$0) }
        #expect(long.count == 2 + 2 + 122)
        #expect(String(validating: long[4...], as: UTF8.self) != nil)
    }

    @Test func messages() {
        let cursor = Samples.cursor
        let plain = self.text { WebSocketFrames.message(Samples.delivery(seq: 7), into: &$0) }
        #expect(plain == #"{"message":{"seq":7,"cursor":"\#(cursor)",\#(Samples.fragment)}}"#)
        let again = self.text {
            WebSocketFrames.message(Samples.delivery(seq: 7, redelivered: true), seq: false, into: &$0)
        }
        #expect(again == #"{"message":{"cursor":"\#(cursor)","redelivered":true,\#(Samples.fragment)}}"#)
    }

    @Test func others() {
        let welcome = self.text { WebSocketFrames.welcome(Samples.welcome, into: &$0) }
        #expect(welcome == #"{"welcome":{\#(Samples.welcomeJSON),"cursor":"\#(Samples.cursor)"}}"#)
        let gap = self.text { WebSocketFrames.gap(GapNotice(reason: .owner, scope: .user), into: &$0) }
        #expect(gap == #"{"gap":{"reason":"owner","scope":"user"}}"#)
        #expect(
            self.text { WebSocketFrames.drain(reconnectAfterMs: 1_500, into: &$0) }
                == #"{"drain":{"reconnectAfterMs":1500}}"#)
        #expect(self.text { WebSocketFrames.pong(Array("[1]".utf8), into: &$0) } == #"{"pong":[1]}"#)
        let error = self.text { WebSocketFrames.error(WireError(.badRequest, "No."), into: &$0) }
        #expect(error == #"{"error":{"code":"bad_request","message":"No."}}"#)
        #expect(self.text { WebSocketFrames.heartbeat(visible: true, into: &$0) } == "{}")
        #expect(self.bytes { WebSocketFrames.heartbeat(visible: false, into: &$0) } == [0x89, 0x00])
    }
}
