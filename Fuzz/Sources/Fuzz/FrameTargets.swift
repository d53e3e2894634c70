import MartletCore
import MartletWire

/// A client's frame: what is understood means the same when it is written again.
enum FrameTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            let frame = try ClientFrame(parsing: bytes, limits: Limits())
            if case .refused(let error, _) = frame {
                check([.badRequest, .tooManyTopics].contains(error.code), "refused as \(error.code)")
                return checkAnswer(error)
            }
            let again = Self.text(frame)
            let parsed = again.withUnsafeBytes { try? ClientFrame(parsing: $0, limits: Limits()) }
            check(parsed == frame, "\(String(decoding: again, as: UTF8.self)) means something else")
        } catch {
            check([.badRequest, .invalidJSON, .invalidCursor].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
    }

    private static func text(_ frame: ClientFrame) -> [UInt8] {
        switch frame {
        case .ack(let ack): Array(#"{"ack":\#(text(ack))}"#.utf8)
        case .ackCursor(let cursor): Array(#"{"ack":"\#(cursor)"}"#.utf8)
        case .ping(let json): Array(#"{"ping":"#.utf8) + json + Array("}".utf8)
        case .token(let token): Self.named("token", token)
        case .subscribe(let wishes):
            Array(#"{"subscribe":["#.utf8) + Array(wishes.map(self.wish).joined(separator: [UInt8(ascii: ",")])) + Array("]}".utf8)
        case .unsubscribe(let filters):
            Array(#"{"unsubscribe":["#.utf8) + Array(filters.map { Self.quoted($0.text) }.joined(separator: [UInt8(ascii: ",")])) + Array("]}".utf8)
        case .publish(let json): Array(#"{"publish":"#.utf8) + json + Array("}".utf8)
        case .refused, .empty: Array("{}".utf8)
        }
    }

    private static func wish(_ wish: SubscribeWish) -> [UInt8] {
        let since =
            switch wish.start {
            case .latest: "latest"
            case .earliest: "earliest"
            case .last(let count): "last:\(count)"
            case .time(let milliseconds): "\(milliseconds)"
            case .after(let offset): "after \(offset)"
            }
        return Array(#"{"topic":"#.utf8) + Self.quoted(wish.filter.text) + Array(#","since":"\#(since)","presence":\#(wish.presence)}"#.utf8)
    }

    private static func quoted(_ text: String) -> [UInt8] {
        var output: [UInt8] = []
        JSON.append(text, to: &output)
        return output
    }

    private static func named(_ name: String, _ text: String) -> [UInt8] {
        var output = Array("{\"\(name)\":".utf8)
        JSON.append(text, to: &output)
        return output + [UInt8(ascii: "}")]
    }

    static func text(_ ack: SeqAck) -> String {
        switch ack {
        case .upTo(let seq): "\(seq)"
        case .each(let seqs): "[" + seqs.map { "\($0)" }.joined(separator: ",") + "]"
        }
    }
}

/// The body of `POST /v1/ack`.
enum AckTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            let body = try AckBody(parsing: bytes)
            var text: [UInt8] = []
            switch body {
            case .cursor(let cursor): text = Array(#"{"cursor":"\#(cursor)"}"#.utf8)
            case .seqs(let ack, let session):
                text = Array(#"{"ack":\#(FrameTarget.text(ack)),"session":"#.utf8)
                JSON.append(session, to: &text)
                text.append(UInt8(ascii: "}"))
            }
            let parsed = text.withUnsafeBytes { try? AckBody(parsing: $0) }
            check(parsed == body, "\(String(decoding: text, as: UTF8.self)) means something else")
        } catch {
            check([.badRequest, .invalidJSON, .invalidCursor].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
    }
}

/// An error answer is JSON and no longer than an answer should be, whatever the asker sent.
func checkAnswer(_ error: WireError) {
    let json = error.json
    check(json.count < 2_000, "an error of \(json.count) bytes")
    check(json.withUnsafeBytes { (try? JSON.object(in: $0, maxDepth: 3)) != nil }, "an error that is not JSON")
}
