import MartletCore
import MartletWire
import Testing

/// Publishing to a topic: in a message's `to`, at the topic's path, in a frame.
struct TopicPublishTests {
    let parser = PublishParser(app: .dev, limits: Limits()) { bytes in [UInt8(truncatingIfNeeded: bytes.count)] + bytes }

    private func parse(_ text: String) throws(WireError) -> AppendRequest { try self.parser.parse(Array(text.utf8)) }

    private func frame(_ text: String) throws(WireError) -> (request: AppendRequest, ref: [UInt8]?) {
        try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(WireError) in
            try self.parser.parse(frame: UnsafeRawBufferPointer(bytes))
        }
    }

    private enum Kind {
        case json, text
        case binary(String)
    }

    private func body(_ publish: TopicPublish, _ kind: Kind, _ bytes: [UInt8]) throws(WireError) -> AppendRequest {
        try bytes.withUnsafeBufferPointer { (buffer) throws(WireError) in
            let bytes = UnsafeRawBufferPointer(buffer)
            let head = try self.parser.head(publish)
            return switch kind {
            case .json: try self.parser.parse(head, .json(bytes))
            case .text: try self.parser.parse(head, .text(bytes))
            case .binary(let type): try self.parser.parse(head, .binary(bytes, contentType: type))
            }
        }
    }

    private func members(_ request: AppendRequest) -> String { String(decoding: request.members, as: UTF8.self) }

    private func code(_ body: () throws -> Void) -> ErrorCode? {
        do {
            try body()
            return nil
        } catch {
            return (error as? WireError)?.code
        }
    }

    @Test func inAMessage() throws {
        let request = try self.parse(
            #"{"data":{"a": 1},"to":{"topic":"chat/room \"1\""},"type":"said","ttl":60,"idempotencyKey":"k"}"#)
        #expect(request.targets.isEmpty)
        #expect(request.topic == TopicAppend(name: "chat/room \"1\""))
        #expect(request.ttl == 60)
        #expect(self.members(request) == #""topic":"chat/room \"1\"","type":"said","data":{"a": 1}"#)
        let bare = try self.parse(#"{"to":{"topic":"a","user":null}}"#)
        #expect(self.members(bare) == #""topic":"a""#)
        #expect(bare.ttl == Limits().ttlMaxSeconds)
    }

    @Test func retain() throws {
        #expect(try self.parse(#"{"to":{"topic":"a"},"data":null,"retain":true}"#).topic?.retain == .set)
        #expect(try self.parse(#"{"to":{"topic":"a"},"data":1,"retain":false}"#).topic?.retain == .leave)
        #expect(try self.parse(#"{"to":{"topic":"a"},"data":1,"retain":null}"#).topic?.retain == .leave)
        #expect(try self.parse(#"{"to":{"topic":"a"},"retain":true}"#).topic?.retain == .clear)
    }

    @Test(arguments: [
        #"{"to":{"topic":"a"},"priority":"low"}"#, #"{"to":{"topic":"a"},"priority":"medium"}"#,
        #"{"to":{"topic":"a"},"collapseKey":"k"}"#, #"{"to":{"user":"a"},"retain":true}"#, #"{"to":{"user":"a"},"retain":false}"#,
        #"{"to":{"topic":"a","user":"b"}}"#, #"{"to":{"all":true,"topic":"b"}}"#, #"{"to":{"topic":"a/+"}}"#, ##"{"to":{"topic":"#"}}"##,
        #"{"to":{"topic":""}}"#, #"{"to":{"topic":7}}"#, #"{"to":{"topic":["a"]}}"#, #"{"to":{"topic":"a"},"retain":1}"#,
        #"{"to":{"topic":"a"},"retain":true,"retain":true}"#,
    ])
    func refused(_ text: String) {
        #expect(self.code { _ = try self.parse(text) } == .badRequest)
    }

    @Test func digestsTellTopicsApart() throws {
        func digest(_ text: String) throws -> [UInt8]? { try self.parse(text).idempotency?.digest }
        let one = try digest(#"{"to":{"topic":"a"},"data":1,"idempotencyKey":"k"}"#)
        #expect(one == (try digest(#"{"idempotencyKey":"k","to":{"topic":"a"},"data":1}"#)))
        #expect(one != (try digest(#"{"to":{"topic":"b"},"data":1,"idempotencyKey":"k"}"#)))
        #expect(one != (try digest(#"{"to":{"topic":"a"},"data":1,"retain":true,"idempotencyKey":"k"}"#)))
        #expect(one != (try digest(#"{"to":{"user":"a"},"data":1,"idempotencyKey":"k"}"#)))
    }

    @Test func bodies() throws {
        let publish = TopicPublish(topic: "a/b", type: "t", ttl: "5", idempotencyKey: "k")
        let json = try self.body(publish, .json, Array(" {\"n\": 1.50} ".utf8))
        #expect(self.members(json) == #""topic":"a/b","type":"t","data":{"n": 1.50}"#)
        #expect(json.ttl == 5)
        #expect(json.idempotency?.key == "k")
        let text = try self.body(TopicPublish(topic: "a"), .text, Array("say \"hé\"\n\u{7f}\\".utf8))
        #expect(self.members(text) == #""topic":"a","data":"say \"hé\"\n"# + "\u{7f}" + #"\\""#)
        #expect(text.ttl == Limits().ttlMaxSeconds)
        let binary = try self.body(TopicPublish(topic: "a"), .binary("image/png"), [0xff, 0, 0xfe, 0xfb])
        #expect(self.members(binary) == #""topic":"a","dataBase64":"/wD++w==","contentType":"image/png""#)
        #expect(self.members(try self.body(TopicPublish(topic: "a"), .text, [])) == #""topic":"a","data":"""#)
    }

    @Test func retainedBodies() throws {
        let retained = TopicPublish(topic: "a", retain: true)
        #expect(try self.body(retained, .text, [0x61]).topic?.retain == .set)
        for kind in [Kind.text, .json, .binary("x/y")] {
            let request = try self.body(retained, kind, [])
            #expect(request.topic?.retain == .clear)
            #expect(self.members(request) == #""topic":"a""#)
        }
    }

    @Test func badBodies() {
        let large = [UInt8](repeating: 0x20, count: 65_537)
        let topic = TopicPublish(topic: "a")
        #expect(self.code { _ = try self.body(topic, .text, [0xff]) } == .badRequest)
        #expect(self.code { _ = try self.body(topic, .text, [0xc3]) } == .badRequest)
        #expect(self.code { _ = try self.body(topic, .json, []) } == .invalidJSON)
        #expect(self.code { _ = try self.body(topic, .json, Array("{".utf8)) } == .invalidJSON)
        #expect(self.code { _ = try self.body(topic, .text, large) } == .messageTooLarge)
        #expect(self.code { _ = try self.body(topic, .binary("x"), Array(large.prefix(49_200))) } == .messageTooLarge)
        #expect(self.code { _ = try self.body(topic, .binary("x\u{1}"), [1]) } == .badRequest)
        for bad in ["", "a/#", "a\n", String(repeating: "x/", count: 33)] {
            #expect(self.code { _ = try self.body(TopicPublish(topic: bad), .text, [0x61]) } == .badRequest)
        }
        for ttl in ["", "-1", "1.5", "2592001", "99999999999999999999"] {
            #expect(self.code { _ = try self.body(TopicPublish(topic: "a", ttl: ttl), .text, [0x61]) } == .badRequest)
        }
    }

    @Test func frames() throws {
        let (request, ref) = try self.frame(#"{"topic":"a","data":[1],"type":"t","ttl":7,"retain":true,"ref":{"n": 1}}"#)
        #expect(self.members(request) == #""topic":"a","type":"t","data":[1]"#)
        #expect(request.topic?.retain == .set)
        #expect(request.ttl == 7)
        #expect(ref.map { String(decoding: $0, as: UTF8.self) } == #"{"n": 1}"#)
        #expect(try self.frame(#"{"topic":"a","dataBase64":"AA==","contentType":"x/y"}"#).ref == nil)
        for bad in [
            "{}", #"{"data":1}"#, #"{"topic":"a/+"}"#, #"{"topic":"a","priority":"low"}"#, #"{"topic":"a","to":{"user":"b"}}"#,
            #"{"topic":"a","collapseKey":"k"}"#, #"{"topic":"a","data":1,"data":2}"#, #"{"topic":"a","topic":"b"}"#,
            #"{"topic":"a","data":1,"ttl":0,"retain":true}"#,
        ] {
            #expect(self.code { _ = try self.frame(bad) } == .badRequest, "\(bad)")
        }
    }
}
