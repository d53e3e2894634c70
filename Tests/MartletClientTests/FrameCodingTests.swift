import Foundation
import MartletClient
import Testing

/// The protocol's JSON and events.
struct FrameCodingTests {
    static func message(_ text: String) -> IncomingMessage? {
        if case .message(let message) = FrameCoding.frame(Array(text.utf8)) { message } else { nil }
    }

    @Test func readsAMessageAndLeavesItsDataAsItIs() throws {
        let incoming = try #require(
            Self.message(
                #"{"message":{"seq":7,"cursor":"AQ","redelivered":true,"id":"i","at":1500,"type":"t","data":{"n": 1.0, "a":[ ]},"priority":"high","extra":null}}"#
            ))
        #expect(incoming.seq == 7 && incoming.cursor == "AQ")
        let message = incoming.message
        #expect(message.id == "i" && message.type == "t" && message.priority == .high && message.isRedelivered && !message.isRetained)
        #expect(message.at == Date(timeIntervalSince1970: 1.5))
        #expect(String(decoding: message.data, as: UTF8.self) == #"{"n": 1.0, "a":[ ]}"#)
        #expect(
            String(decoding: message.json, as: UTF8.self)
                == #"{"redelivered":true,"id":"i","at":1500,"type":"t","data":{"n": 1.0, "a":[ ]},"priority":"high","extra":null}"#)
        struct Value: Decodable, Equatable { var n: Double }
        #expect(try message.decode(Value.self) == Value(n: 1))
        #expect(message.text == nil)
    }

    @Test func readsTextAndBytes() throws {
        #expect(Self.message(#"{"message":{"id":"i","at":0,"topic":"a","retained":true,"data":"h\u00e9"}}"#)?.message.text == "hé")
        let binary = try #require(Self.message(#"{"message":{"id":"i","at":0,"dataBase64":"AP8=","contentType":"image/x"}}"#)).message
        #expect(binary.data == Data([0, 255]) && binary.contentType == "image/x" && binary.text == nil)
        #expect(Self.message(#"{"message":{"at":0}}"#) == nil, "without an id")
    }

    @Test func readsWhatElseAServerSays() throws {
        guard case .refused(let error, .publish(ref: 3)) = FrameCoding.frame(Array(#"{"error":{"code":"forbidden","message":"m","ref":3}}"#.utf8))
        else {
            Issue.record("no refusal")
            return
        }
        #expect(error.code == .forbidden)
        #expect(FrameCoding.frame(Array(#"{"error":{"code":"unauthorized","message":"m"}}"#.utf8)) == nil, "the end of the session")
        #expect(FrameCoding.error(inAnswer: Array(#"{"error":{"code":"rate_limited","message":"m","retryAfterMs":5}}"#.utf8))?.retryAfterMs == 5)
        guard case .heartbeat = FrameCoding.frame(Array("{}".utf8)) else {
            Issue.record("no heartbeat")
            return
        }
        guard case .sign = FrameCoding.frame(Array(#"{"later":1}"#.utf8)) else {
            Issue.record("what a later server says")
            return
        }
        guard
            case .gap(let gap, cursor: "AQ") = FrameCoding.frame(
                Array(#"{"gap":{"reason":"trimmed","topic":"a","from":3,"to":9,"cursor":"AQ"}}"#.utf8))
        else {
            Issue.record("no gap")
            return
        }
        #expect(gap.topic == "a" && gap.from == 3 && gap.to == 9)
        #expect(String(decoding: gap.json, as: UTF8.self) == #"{"reason":"trimmed","topic":"a","from":3,"to":9}"#)
    }

    @Test(arguments: ["", "[", "[]", "7", #"{"message":7}"#, #"{"welcome":[]}"#, #"{"subscribed":{}}"#, #"{"message":{"id":7}}"#, "{\"message\":"])
    func nonsenseIsNoMessage(text: String) {
        #expect(Self.message(text) == nil)
        _ = FrameCoding.frame(event: "welcome", Array(text.utf8), cursor: nil)
        _ = FrameCoding.close(Array(text.utf8))
    }

    @Test func writesFrames() {
        func text(_ frame: ClientFrame) -> String { String(decoding: FrameCoding.text(frame), as: UTF8.self) }
        #expect(text(.ack([5, 7])) == #"{"ack":[5,7]}"#)
        #expect(text(.heartbeat) == "{}")
        #expect(
            text(.subscribe([TopicWish(topic: "a\"", since: .last(3)), TopicWish(topic: "b", presence: true)]))
                == #"{"subscribe":[{"topic":"a\"","since":"last:3"},{"topic":"b","presence":true}]}"#)
        #expect(
            text(.publish(Draft(ref: 1, topic: "a", data: Array("{}".utf8), type: "t", ttlSeconds: 5, retain: true, idempotencyKey: "k")))
                == #"{"publish":{"topic":"a","ref":1,"idempotencyKey":"k","type":"t","ttl":5,"retain":true,"data":{}}}"#)
    }

    @Test func readsEventsInAnyPieces() throws {
        let text = "\u{feff}retry: 5\nevent: welcome\r\nid: 1\ndata: a\rdata:b\n\n:\n\ndata: c\nid: x\0y\n\nevent: only\n\n"
        for size in [1, 2, 3, 7, 1_000] {
            var parser = SSEParser()
            var events: [SSEParser.Event] = []
            let bytes = Array(text.utf8)
            for start in stride(from: 0, to: bytes.count, by: size) { events += try parser.feed(bytes[start..<min(start + size, bytes.count)]) }
            #expect(events.map(\.name) == ["welcome", ""])
            #expect(events.map { String(decoding: $0.data, as: UTF8.self) } == ["a\nb", "c"])
            #expect(events.map(\.id) == ["1", "1"] && events.map(\.hasID) == [true, false])
        }
    }

    @Test func aTokenSaysWhoseItIs() {
        let token = "e30.eyJleHAiOjE3NjM2OTQ1NDcsImRldmljZSI6ImExIn0.c2ln"
        #expect(TokenClaims.expiresAtMs(token) == 1_763_694_547_000 && TokenClaims.device(token) == "a1")
        #expect(TokenClaims.device("no token") == nil && TokenClaims.expiresAtMs("a.b.c") == nil)
    }

    @Test func addresses() throws {
        let server = ServerAddress(try #require(URL(string: "https://push.example.com/base/")))
        #expect(server.isTLS && server.port == 443 && server.authority == "push.example.com")
        #expect(server.target("/v1/ws", [("user", "a b"), ("device", nil)]) == "/base/v1/ws?user=a%20b")
        #expect(server.url("/v1/ws", webSocket: true)?.absoluteString == "wss://push.example.com/v1/ws")
        #expect(ServerAddress(try #require(URL(string: "http://[::1]:8080"))).authority == "[::1]:8080")
        #expect(ServerAddress.topicPath("a/history") == "/v1/topics/a%2Fhistory" && ServerAddress.topicPath("a b/c") == "/v1/topics/a%20b/c")
    }
}
