import MartletCore
import MartletWire
import Testing

/// `POST /v1/messages`: one message's bytes to what a store takes.
struct PublishParserTests {
    let parser = PublishParser(app: .dev, limits: Limits()) { bytes in
        [UInt8(truncatingIfNeeded: bytes.count)] + bytes.prefix(8)
    }

    private func parse(_ text: String, key: String? = nil) throws(WireError) -> AppendRequest {
        try self.parser.parse(Array(text.utf8), idempotencyKey: key)
    }

    private func members(_ text: String) throws -> String {
        String(decoding: try self.parse(text).members, as: UTF8.self)
    }

    private func refusal(_ text: String, key: String? = nil) -> WireError? {
        do {
            _ = try self.parse(text, key: key)
            return nil
        } catch {
            return error
        }
    }

    @Test func everyMember() throws {
        let request = try self.parse(
            #"""
            {"to":{"user":"alice"},"type":"trip.updated","data":{"trip":42},"notification":{"title":"x"},
             "priority":"high","ttl":60,"collapseKey":"trip-42","idempotencyKey":"k","at":null,"ladder":null}
            """#)
        #expect(request.targets == [.user("alice", in: .dev)])
        #expect(request.priority == .high)
        #expect(request.ttl == 60)
        #expect(request.collapseKey == "trip-42")
        #expect(request.idempotency?.key == "k")
        #expect(
            String(decoding: request.members, as: UTF8.self)
                == #""type":"trip.updated","data":{"trip":42},"notification":{"title":"x"},"priority":"high""#)
    }

    @Test func defaults() throws {
        let request = try self.parse(#"{"to":{"device":"a1"},"type":null,"priority":null,"ttl":null}"#)
        #expect(request.targets == [.device("a1", in: .dev)])
        #expect(request.priority == .medium)
        #expect(request.ttl == 1_800)
        #expect(request.idempotency == nil)
        #expect(request.collapseKey == nil)
        #expect(String(decoding: request.members, as: UTF8.self) == #""priority":"medium""#)
    }

    @Test func targets() throws {
        #expect(try self.parse(#"{"to":{"all":true}}"#).targets == [.everyone(in: .dev)])
        #expect(
            try self.parse(#"{"to":{"users":["b","a","b"]}}"#).targets == [.user("b", in: .dev), .user("a", in: .dev)])
        #expect(try self.parse(#"{"to":{"devices":["d"],"user":null}}"#).targets == [.device("d", in: .dev)])
        #expect(try self.parse(#"{"to":{"users":["caf\u00e9","cafe\u0301","caf\u00e9"]}}"#).targets.count == 2)
        #expect(try self.parse(#"{"\u0074o":{"us\u0065r":"al\u0069ce"}}"#).targets == [.user("alice", in: .dev)])
    }

    @Test func dataPassesThroughByteForByte() throws {
        let data = "{\"b\":1, \"a\":[12345678901234567890123,1.0e5,\"\\u00e9\\/\"],\r\n\t\"a\":{ }}"
        #expect(try self.members(#"{"to":{"all":true},"data": \#(data)  }"#) == #""data":\#(data),"priority":"medium""#)
        #expect(try self.members(#"{"to":{"all":true},"data":null}"#) == #""data":null,"priority":"medium""#)
        #expect(try self.members(#"{"to":{"all":true},"data":"é🚕"}"#) == #""data":"é🚕","priority":"medium""#)
    }

    @Test func base64() throws {
        #expect(
            try self.members(#"{"to":{"all":true},"dataBase64":"ab\/+Zg==","contentType":"image/png"}"#)
                == #""dataBase64":"ab/+Zg==","contentType":"image/png","priority":"medium""#)
        for bad in ["ab", "a===", "ab-_", "ab==ab==", "=", "a b="] {
            #expect(
                self.refusal(#"{"to":{"all":true},"dataBase64":"\#(bad)"}"#)?.message.contains("dataBase64") == true,
                "\(bad)")
        }
    }

    /// What is refused, and a part of the sentence that says why.
    @Test(arguments: [
        (#"{"data":1}"#, #""to" is missing"#),
        (#"{"to":null}"#, #""to" must be an object"#),
        (#"{"to":"alice"}"#, #""to" must be an object"#),
        (#"{"to":{}}"#, #""to" is empty"#),
        (#"{"to":{"user":null}}"#, #""to" is empty"#),
        (#"{"to":{"user":"a","device":"b"}}"#, "exactly one of"),
        (#"{"to":{"user":"a","user":"b"}}"#, "exactly one of"),
        (#"{"to":{"user":7}}"#, #""to.user" must be a string: put it in quotes"#),
        (#"{"to":{"user":""}}"#, #""to.user" must not be empty"#),
        (#"{"to":{"user":"a\nb"}}"#, #""to.user" must not hold control characters"#),
        (#"{"to":{"user":"a\u007f"}}"#, "control characters"),
        (#"{"to":{"users":[]}}"#, #""to.users" must be an array"#),
        (#"{"to":{"users":"a"}}"#, #""to.users" must be an array"#),
        (#"{"to":{"devices":["a",1]}}"#, #""to.devices[1]" must be a string: put it in quotes"#),
        (#"{"to":{"users":["a","b\u0085"]}}"#, #""to.users[1]" must not hold control characters"#),
        (#"{"to":{"user":"a\u2028"}}"#, "line separators"),
        (#"{"to":{"user":"a\ufffd"}}"#, "U+FFFD"),
        (#"{"to":{"user":"a","usrs":["b"]}}"#, #"perhaps "users" is meant"#),
        (#"{"to":{"zzzzzzzz":"t"}}"#, "there are user, users, device, devices, topic, all."),
        (#"{"to":{"all":false}}"#, #""to.all" can only be true"#),
        (#"{"to":{"usr":"t"}}"#, #"perhaps "user" is meant"#),
        (#"{"to":{"all":true},"prioirty":"high"}"#, #"perhaps "priority" is meant"#),
        (#"{"to":{"all":true},"collapse_key":"x"}"#, #"perhaps "collapseKey" is meant"#),
        (#"{"to":{"all":true},"Data":1}"#, #"perhaps "data" is meant"#),
        (#"{"to":{"all":true},"zzzzzzzzzzzzzzz":1}"#, "there are to, type, data"),
        (#"{"user":"alice"}"#, #""user" belongs into "to""#),
        (#"{"to":{"all":true},"to":{"all":true}}"#, #""to" is given twice"#),
        (#"{"to":{"all":true},"data":1,"d\u0061ta":1}"#, #""data" is given twice"#),
        (#"{"to":{"all":true},"type":1}"#, #""type" must be a string"#),
        (#"{"to":{"all":true},"priority":"urgent"}"#, #""priority" must be "high""#),
        (#"{"to":{"all":true},"ttl":-1}"#, #""ttl" must be a whole number of seconds"#),
        (#"{"to":{"all":true},"ttl":1.5}"#, #""ttl" must be"#),
        (#"{"to":{"all":true},"ttl":"60"}"#, #""ttl" must be"#),
        (#"{"to":{"all":true},"ttl":2592001}"#, "2592000"),
        (#"{"to":{"all":true},"ttl":99999999999999999999999}"#, "2592000"),
        (#"{"to":{"all":true},"notification":"x"}"#, #""notification" must be an object"#),
        (#"{"to":{"all":true},"at":1}"#, #""at" is not supported yet"#),
        (#"{"to":{"all":true},"ladder":[]}"#, #""ladder" is not supported yet"#),
        (#"{"to":{"all":true},"data":1,"dataBase64":""}"#, "exclude each other"),
        (#"{"to":{"all":true},"contentType":"a/b"}"#, #""contentType" says what"#),
        (#"{"to":{"all":true},"idempotencyKey":""}"#, #""idempotencyKey" must not be empty"#),
        (#"[]"#, "must be an object"),
    ])
    func refused(_ text: String, _ part: String) {
        let error = self.refusal(text)
        #expect(error?.code == .badRequest)
        #expect(error?.message.contains(part) == true, "\(error?.message ?? "accepted")")
    }

    @Test(arguments: [
        "", " ", "{", #"{"to":{"all":true}"#, #"{"to":{"all":true}}x"#, #"{"to":{"all":tru}}"#, "nul", "[1,]",
    ])
    func notJSON(_ text: String) {
        #expect(self.refusal(text)?.code == .invalidJSON)
    }

    @Test func limits() throws {
        let frame = #"{"to":{"all":true},"data":""}"#.utf8.count
        let fits = #"{"to":{"all":true},"data":"\#(String(repeating: "x", count: 65_536 - frame))"}"#
        _ = try self.parse(fits)
        let error = self.refusal(fits + " ")
        #expect(error?.code == .messageTooLarge)
        #expect(error?.limit == 65_536)

        let name = String(repeating: "é", count: 128)
        _ = try self.parse(#"{"to":{"user":"\#(name)"}}"#)
        #expect(self.refusal(#"{"to":{"user":"\#(name)x"}}"#)?.limit == 256)

        let names = (0..<1_000).map { "\"u\($0)\"" }.joined(separator: ",")
        #expect(try self.parse(#"{"to":{"users":[\#(names)]}}"#).targets.count == 1_000)
        #expect(self.refusal(#"{"to":{"users":[\#(names),"x"]}}"#)?.limit == 1_000)

        let deep = String(repeating: "[", count: 63) + String(repeating: "]", count: 63)
        _ = try self.parse(#"{"to":{"all":true},"data":\#(deep)}"#)
        #expect(self.refusal(#"{"to":{"all":true},"data":[\#(deep)]}"#)?.limit == 64)
    }

    @Test func idempotencyKeyFromHeaderAndBody() throws {
        #expect(try self.parse(#"{"to":{"all":true}}"#, key: "h").idempotency?.key == "h")
        #expect(try self.parse(#"{"to":{"all":true},"idempotencyKey":"h"}"#, key: "h").idempotency?.key == "h")
        #expect(
            self.refusal(#"{"to":{"all":true},"idempotencyKey":"b"}"#, key: "h")?.message.contains("differ") == true)
        #expect(self.refusal(#"{"to":{"all":true}}"#, key: "")?.message.contains("Idempotency-Key") == true)
    }

    /// The digest covers all that makes a message, and nothing that does not.
    @Test func digest() throws {
        let parser = PublishParser(app: .dev, limits: Limits()) { $0 }
        func digest(_ text: String) throws -> [UInt8]? { try parser.parse(Array(text.utf8)).idempotency?.digest }
        let base = try digest(#"{"to":{"user":"a"},"data":1,"ttl":1800,"idempotencyKey":"k"}"#)
        #expect(base != nil)
        #expect(try digest(#" {"idempotencyKey":"other", "data": 1, "to":{"user":"a"}}"#) == base)
        for other in [
            #"{"to":{"user":"b"},"data":1,"idempotencyKey":"k"}"#,
            #"{"to":{"device":"a"},"data":1,"idempotencyKey":"k"}"#,
            #"{"to":{"user":"a"},"data":2,"idempotencyKey":"k"}"#,
            #"{"to":{"user":"a"},"data":1,"ttl":1,"idempotencyKey":"k"}"#,
            #"{"to":{"user":"a"},"data":1,"priority":"low","idempotencyKey":"k"}"#,
            #"{"to":{"user":"a"},"data":1,"collapseKey":"c","idempotencyKey":"k"}"#,
        ] {
            #expect(try digest(other) != base, "\(other)")
        }
        #expect(
            try digest(#"{"to":{"users":["a","b"]},"idempotencyKey":"k"}"#)
                != digest(#"{"to":{"users":["ab"]},"idempotencyKey":"k"}"#))
    }

    @Test func lines() {
        func lines(_ text: String) -> [String] {
            Array(text.utf8).withUnsafeBytes { bytes in
                NDJSONLines(bytes).map { String(decoding: UnsafeRawBufferPointer(rebasing: bytes[$0]), as: UTF8.self) }
            }
        }
        #expect(lines("") == [])
        #expect(lines("\n\r\n \t\n") == [])
        #expect(lines("{}") == ["{}"])
        #expect(lines("{}\n[]\r\n\n 1 \n") == ["{}", "[]", " 1 "])
        #expect(lines("a\r\nb\rc") == ["a", "b\rc"])
    }

    /// Random changes to a valid message neither crash nor let something through that is not JSON.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func mutations(seed: UInt64) {
        let original = Array(
            #"{"to":{"users":["al\u0069ce","b\ud83d\ude00"]},"type":"t","data":[1e5,{"é":-0.5}],"ttl":60,"dataBase64":null}"#
                .utf8)
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0...random(3) {
                switch random(3) {
                case 0: bytes[random(bytes.count)] = UInt8(random(256))
                case 1: bytes.remove(at: random(bytes.count))
                default: bytes.insert(original[random(original.count)], at: random(bytes.count))
                }
            }
            guard let request = try? self.parser.parse(bytes) else { continue }
            accepted += 1
            let object = [UInt8(ascii: "{")] + request.members + [UInt8(ascii: "}")]
            let isJSON = object.withUnsafeBytes { (try? JSON.object(in: $0, maxDepth: 64)) != nil }
            #expect(isJSON && String(validating: object, as: UTF8.self) != nil)
        }
        #expect(accepted > 100)
    }
}
