import MartletCore
import MartletWire
import Testing

struct ClientFrameTests {
    static let cursor = Cursor(tag: 1, epoch: 2, appHash: 3, userHash: 4, deviceHash: 5, positions: Positions(all: 6))

    private func frame(_ text: String) throws(WireError) -> ClientFrame {
        try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(WireError) in
            try ClientFrame(parsing: UnsafeRawBufferPointer(bytes), limits: Limits())
        }
    }

    private func body(_ text: String) throws(WireError) -> AckBody {
        try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(WireError) in
            try AckBody(parsing: UnsafeRawBufferPointer(bytes))
        }
    }

    @Test func frames() throws {
        #expect(try self.frame("{}") == .empty)
        #expect(try self.frame(#"{"ack":7}"#) == .ack(.upTo(7)))
        #expect(try self.frame(#" {"ack":[5, 7]} "#) == .ack(.each([5, 7])))
        #expect(try self.frame(#"{"ack":[]}"#) == .ack(.each([])))
        #expect(try self.frame(#"{"ack":"\#(Self.cursor)"}"#) == .ackCursor(Self.cursor))
        #expect(try self.frame(#"{"ping": {"t": 1.50} }"#) == .ping(Array(#"{"t": 1.50}"#.utf8)))
    }

    @Test(arguments: [
        "[]", "7", #"{"ack":-1}"#, #"{"ack":1.5}"#, #"{"ack":null}"#, #"{"ack":{}}"#, #"{"ack":["7"]}"#,
        #"{"ack":[[7]]}"#,
        #"{"ack":7,"ping":1}"#, #"{"ack":7,"ack":8}"#, #"{"nack":7}"#, #"{"ack":18446744073709551616}"#,
        #"{"ack":[\#((0...1_024).map(String.init).joined(separator: ","))]}"#,
    ])
    func badFrames(_ text: String) {
        #expect { try self.frame(text) } throws: { ($0 as? WireError)?.code == .badRequest }
    }

    @Test func topics() throws {
        func wish(_ text: String, _ start: TopicStart = .latest, presence: Bool = false) -> SubscribeWish {
            SubscribeWish(filter: TopicFilter(topic: text), start: start, presence: presence)
        }
        #expect(try self.frame(#"{"subscribe":"a"}"#) == .subscribe([wish("a")]))
        #expect(try self.frame(#"{"subscribe":["a","b",{"topic":"a"}]}"#) == .subscribe([wish("a"), wish("b")]))
        #expect(
            try self.frame(#"{"subscribe":{"topic":"a","since":"last:10","presence":true}}"#)
                == .subscribe([wish("a", .last(10), presence: true)]))
        #expect(try self.frame(#"{"subscribe":[{"topic":"a","since":7}]}"#) == .subscribe([wish("a", .time(7))]))
        #expect(try self.frame(#"{"unsubscribe":["a","b"]}"#) == .unsubscribe([TopicFilter(topic: "a"), TopicFilter(topic: "b")]))
        guard case .subscribe(let wishes) = try self.frame(#"{"subscribe":"a/#"}"#) else { return #expect(Bool(false)) }
        #expect(wishes.first?.filter.isWildcard == true)
        #expect(try self.frame(#"{"publish": {"topic":"a"} }"#) == .publish(Array(#"{"topic":"a"}"#.utf8)))
    }

    /// What is wrong in a frame about topics is answered; it does not end the connection.
    @Test(arguments: [
        #"{"subscribe":7}"#, #"{"subscribe":"a#"}"#, #"{"subscribe":{"since":"latest"}}"#, #"{"subscribe":{"topic":"a","since":"x"}}"#,
        #"{"subscribe":{"topic":"a","presence":1}}"#, #"{"subscribe":["a",["b"]]}"#, #"{"subscribe":{"topic":"a","more":1}}"#,
        #"{"unsubscribe":{}}"#, #"{"unsubscribe":[""]}"#, #"{"publish":"a"}"#,
    ])
    func refusedTopics(_ text: String) throws {
        guard case .refused(let error, _) = try self.frame(text) else { return #expect(Bool(false), "\(text)") }
        #expect(error.code == .badRequest)
    }

    @Test func tooManyTopics() throws {
        let names = (0...512).map { "\"\($0)\"" }.joined(separator: ",")
        guard case .refused(let error, _) = try self.frame(#"{"subscribe":[\#(names)]}"#) else { return #expect(Bool(false)) }
        #expect(error.code == .tooManyTopics)
    }

    @Test func codes() {
        #expect { try self.frame("hello") } throws: { ($0 as? WireError)?.code == .invalidJSON }
        #expect { try self.frame(#"{"ack":"hello"}"#) } throws: { ($0 as? WireError)?.code == .invalidCursor }
        #expect { try self.body(#"{"cursor":"hello"}"#) } throws: { ($0 as? WireError)?.code == .invalidCursor }
    }

    @Test func bodies() throws {
        #expect(try self.body(#"{"cursor":"\#(Self.cursor)"}"#) == .cursor(Self.cursor))
        #expect(try self.body(#"{"session":"s","ack":7}"#) == .seqs(.upTo(7), session: "s"))
        #expect(try self.body(#"{"ack":[5,7],"session":"s"}"#) == .seqs(.each([5, 7]), session: "s"))
        for text in [
            "{}", #"{"session":"s"}"#, #"{"ack":7}"#, #"{"cursor":7}"#, #"{"cursor":"x","session":"s","ack":1}"#,
            #"{"seq":1}"#,
            #"{"session":"s","ack":"\#(Self.cursor)"}"#, #"{"session":"s","session":"s","ack":1}"#,
        ] {
            #expect { try self.body(text) } throws: { ($0 as? WireError)?.code == .badRequest }
        }
    }
}
