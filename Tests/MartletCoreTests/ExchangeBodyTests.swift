import MartletCore
import MartletWire
import Testing

struct ExchangeBodyTests {
    private func parse(_ text: String) throws -> ExchangeBody {
        try Array(text.utf8).withUnsafeBytes { try ExchangeBody(parsing: $0, limits: Limits()) }
    }

    @Test func nothing() throws {
        for text in ["", "{}", #"{"cursor":"","ack":null,"publish":null,"limit":null}"#, #"{"publish":[],"subscribe":[],"unsubscribe":[]}"#] {
            let body = try self.parse(text)
            #expect(body.cursor == nil && body.ack == nil && body.session == nil && body.limit == nil)
            #expect(body.publish.isEmpty && body.subscribe.isEmpty && body.unsubscribe.isEmpty)
        }
    }

    @Test func everything() throws {
        let cursor = Cursor(tag: 1, epoch: 1, appHash: 2, userHash: 3, deviceHash: 4, positions: Positions(all: 7))
        let body = try self.parse(
            #"{"cursor":"\#(cursor)","session":"s","ack":[5,7],"subscribe":["a/#",{"topic":"b","since":"last:3"}],"unsubscribe":"c","publish":[{"topic":"a"},{}],"limit":9}"#
        )
        #expect(body.cursor == cursor && body.session == "s" && body.ack == .each([5, 7]) && body.limit == 9)
        #expect(body.subscribe.map(\.filter.text) == ["a/#", "b"] && body.subscribe[1].start == .last(3))
        #expect(body.unsubscribe.map(\.text) == ["c"])
        #expect(body.publish == [Array(#"{"topic":"a"}"#.utf8), Array("{}".utf8)])
        #expect(try self.parse(#"{"publish":{"topic":"a"}}"#).publish.count == 1)
    }

    private static let manyPublishes = #"{"publish":["# + Array(repeating: "{}", count: 65).joined(separator: ",") + "]}"
    private static let manyTopics = #"{"subscribe":["# + (0..<513).map { "\"\($0)\"" }.joined(separator: ",") + "]}"
    private static let deep = #"{"publish":[{"data":"# + String(repeating: "[", count: 70) + String(repeating: "]", count: 70) + "}]}"

    private static let bad: [(String, ErrorCode)] = [
        ("[]", ErrorCode.badRequest), ("{", .invalidJSON), (#"{"curser":"x"}"#, .badRequest), (#"{"cursor":"x"}"#, .invalidCursor),
        (#"{"cursor":1}"#, .badRequest), (#"{"limit":0}"#, .badRequest), (#"{"limit":1025}"#, .badRequest), (#"{"limit":1,"limit":1}"#, .badRequest),
        (#"{"ack":1}"#, .badRequest), (#"{"session":"s"}"#, .badRequest), (#"{"session":"s","ack":"x"}"#, .badRequest),
        (#"{"subscribe":"a#"}"#, .badRequest),
        (#"{"subscribe":7}"#, .badRequest), (#"{"unsubscribe":[7]}"#, .badRequest), (#"{"publish":7}"#, .badRequest),
        (#"{"publish":[[]]}"#, .badRequest),
        (manyPublishes, .badRequest),
        (manyTopics, .tooManyTopics),
        (deep, .badRequest),
    ]

    @Test(arguments: bad)
    func refused(_ text: String, _ code: ErrorCode) {
        #expect { try self.parse(text) } throws: { ($0 as? WireError)?.code == code }
    }
}
