import MartletWire

extension FrameCoding {
    /// A frame as a WebSocket carries it.
    package static func text(_ frame: ClientFrame) -> [UInt8] {
        var output = Array("{".utf8)
        switch frame {
        case .ack(let seqs): output += #""ack":[\#(seqs.map { "\($0)" }.joined(separator: ","))]"#.utf8
        case .subscribe(let wishes):
            output += #""subscribe":["#.utf8
            for (index, wish) in wishes.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                Self.append(wish, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .unsubscribe(let topics):
            output += #""unsubscribe":["#.utf8
            for (index, topic) in topics.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.append(topic, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .publish(let draft):
            output += #""publish":"#.utf8
            Self.append(draft, to: &output)
        case .renew(let token):
            output += #""token":"#.utf8
            JSON.append(token, to: &output)
        case .heartbeat: break
        }
        output.append(UInt8(ascii: "}"))
        return output
    }

    static func append(_ wish: TopicWish, to output: inout [UInt8]) {
        output += #"{"topic":"#.utf8
        JSON.append(wish.topic, to: &output)
        if let since = wish.since {
            output += #","since":"#.utf8
            JSON.append(since.text, to: &output)
        }
        if wish.presence { output += #","presence":true"#.utf8 }
        output.append(UInt8(ascii: "}"))
    }

    private static func append(_ draft: Draft, to output: inout [UInt8]) {
        output += #"{"topic":"#.utf8
        JSON.append(draft.topic, to: &output)
        output += #","ref":\#(draft.ref),"idempotencyKey":"#.utf8
        JSON.append(draft.idempotencyKey, to: &output)
        if let type = draft.type {
            output += #","type":"#.utf8
            JSON.append(type, to: &output)
        }
        if let ttl = draft.ttlSeconds { output += #","ttl":\#(ttl)"#.utf8 }
        if draft.retain { output += #","retain":true"#.utf8 }
        output += #","data":"#.utf8
        output += draft.data
        output.append(UInt8(ascii: "}"))
    }

    /// A text with its quotes.
    package static func quoted(_ text: String) -> String {
        var output: [UInt8] = []
        JSON.append(text, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// The body of `POST /v1/ack`.
    static func ackBody(session: String, _ seqs: [UInt64]) -> [UInt8] {
        var output = Array(#"{"session":"#.utf8)
        JSON.append(session, to: &output)
        output += #","ack":[\#(seqs.map { "\($0)" }.joined(separator: ","))]}"#.utf8
        return output
    }

    /// The body of a `POST /v1/exchange` that changes the topics of a live session.
    static func exchangeBody(subscribe: [TopicWish] = [], unsubscribe: [String] = []) -> [UInt8] {
        var output = Array(#"{"limit":1"#.utf8)
        if !subscribe.isEmpty {
            output += #","subscribe":["#.utf8
            for (index, wish) in subscribe.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                Self.append(wish, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        }
        if !unsubscribe.isEmpty {
            output += #","unsubscribe":["#.utf8
            for (index, topic) in unsubscribe.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.append(topic, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        }
        output.append(UInt8(ascii: "}"))
        return output
    }

    /// The id in the answer to a publish.
    static func id(inAnswer body: [UInt8]) -> String? {
        body.withUnsafeBytes { bytes in (try? JSON.value(in: bytes, maxDepth: 8)).flatMap { Members($0).text("id") } }
    }
}
