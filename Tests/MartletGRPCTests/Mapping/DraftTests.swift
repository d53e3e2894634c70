import MartletCore
import MartletGRPC
import MartletProto
import MartletWire
import SwiftProtobuf
import Testing

/// A draft becomes the JSON that every publish becomes, and can say no more than its fields.
struct DraftTests {
    private let mapping = DraftMapping(parser: PublishParser(app: .dev, limits: Limits()) { Array($0.prefix(8)) })

    private func request(_ populate: (inout ProtoDraft) throws -> Void) throws -> AppendRequest {
        try self.mapping.request(try ProtoDraft.with(populate))
    }

    private func refusal(_ populate: (inout ProtoDraft) throws -> Void) -> ErrorCode? {
        do {
            _ = try self.request(populate)
            return nil
        } catch {
            return (error as? WireError)?.code
        }
    }

    @Test func `All that there is`() throws {
        let request = try self.request {
            $0.user = "al\"ice"
            $0.type = "trip"
            $0.json = #" {"n": 1.50} "#
            $0.notificationJson = #"{"title":"x"}"#
            $0.priority = .high
            $0.ttlSeconds = 60
            $0.collapseKey = "c"
            $0.idempotencyKey = "i"
        }
        #expect(request.targets == [.user("al\"ice", in: .dev)] && request.priority == .high && request.ttl == 60 && request.collapseKey == "c")
        #expect(request.idempotency?.key == "i")
        #expect(
            String(decoding: request.members, as: UTF8.self)
                == #""type":"trip","data":{"n": 1.50},"notification":{"title":"x"},"priority":"high""#)
    }

    @Test func `Targets`() throws {
        #expect(try self.request { $0.users.names = ["a", "b", "a"] }.targets == [.user("a", in: .dev), .user("b", in: .dev)])
        #expect(try self.request { $0.device = "d" }.targets == [.device("d", in: .dev)])
        #expect(try self.request { $0.devices.names = ["d"] }.targets == [.device("d", in: .dev)])
        #expect(try self.request { $0.all = true }.targets == [.everyone(in: .dev)])
        #expect(try self.request { $0.topic = "a/b" }.topic?.name == "a/b")
        #expect(self.refusal { _ in } == .badRequest)
        #expect(self.refusal { $0.all = false } == .badRequest)
        #expect(self.refusal { $0.users = .init() } == .badRequest)
    }

    @Test func `Text and bytes`() throws {
        let text = try self.request {
            $0.topic = "t"
            $0.text = "a \"b\"\n\u{1F426}"
        }
        #expect(String(decoding: text.members, as: UTF8.self) == #""topic":"t","data":"a \"b\"\n🐦""#)
        let bytes = try self.request {
            $0.topic = "t"
            $0.binary.append(contentsOf: [0, 255])
            $0.contentType = "a/b"
        }
        #expect(String(decoding: bytes.members, as: UTF8.self) == #""topic":"t","dataBase64":"AP8=","contentType":"a/b""#)
    }

    @Test(arguments: [#"1,"to":{"all":true}"#, "1}", "", " ", "{", "1 2", #"1},{"a":1"#, "nul", #""\x""#, "[1,]"])
    func `JSON that would say more, or is none`(text: String) {
        #expect(
            self.refusal {
                $0.user = "a"
                $0.json = text
            } == .invalidJSON)
    }

    @Test func `Limits are those of every publish`() {
        #expect(
            self.refusal {
                $0.user = "a"
                $0.json = "\"" + String(repeating: "x", count: 70_000) + "\""
            } == .messageTooLarge)
        #expect(
            self.refusal {
                $0.user = "a"
                $0.json = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
            } == .badRequest)
    }
}
