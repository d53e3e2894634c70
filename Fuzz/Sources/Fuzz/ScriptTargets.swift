import MartletCore
import MartletHTTP
import MartletWire
import NIOCore

/// A callback's name: what is taken names a function and nothing else. And the text of a script: it reads as what was written, and nothing in
/// it ends the string, the line or the script.
enum CallbackTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(WireError) {
            let name = try CallbackName(parsing: text)
            check(name.text == text && (1...CallbackName.limit).contains(text.utf8.count), "another name")
            let parts = text.split(separator: ".", omittingEmptySubsequences: false)
            check(parts.allSatisfy { Self.isIdentifier(Array($0.utf8)) }, "\(text) is no name")
            check(!parts.contains { ["opener", "constructor", "__proto__", "eval", "parent"].contains($0) }, "\(text) leads out")
        } catch {
            check(error.code == .badRequest, "refused as \(error.code)")
            checkAnswer(error)
        }
        Self.script(bytes)
    }

    private static func isIdentifier(_ bytes: [UInt8]) -> Bool {
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$".utf8)
        let digits = Set("0123456789".utf8)
        guard let first = bytes.first, letters.contains(first) else { return false }
        return bytes.dropFirst().allSatisfy { letters.contains($0) || digits.contains($0) }
    }

    private static func script(_ bytes: UnsafeRawBufferPointer) {
        var buffer = ByteBuffer()
        ScriptText.append(ByteBuffer(bytes: bytes), into: &buffer)
        let script = Array(buffer.readableBytesView)
        check(script.first == UInt8(ascii: "\"") && script.last == UInt8(ascii: "\"") && script.count >= 2, "no string")
        check(!script.contains { $0 < 0x20 || $0 == 0x7f || [UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&")].contains($0) }, "a raw byte")
        check(
            !zip(script, zip(script.dropFirst(), script.dropFirst(2))).contains { $0 == 0xe2 && $1.0 == 0x80 && $1.1 & 0xfe == 0xa8 }, "a line's end")
        // Its escapes are JSON's too.
        guard UTF8Check.isValid(bytes) else { return }
        script.withUnsafeBytes {
            let value = try? JSON.value(in: $0, maxDepth: 1).string
            check(value.map { Array($0.utf8) } == Array(bytes), "another text")
        }
    }
}

/// The body of an exchange.
enum ExchangeTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            let limits = Limits()
            let body = try ExchangeBody(parsing: bytes, limits: limits)
            check(body.publish.count <= ExchangeBody.publishesMost, "too many publishes")
            check(body.subscribe.count <= limits.topicsPerSession && body.unsubscribe.count <= limits.topicsPerSession, "too many topics")
            check((body.ack == nil) == (body.session == nil), "an ack without its session")
            check((1...limits.windowMessagesMax).contains(body.limit ?? 1), "a wrong limit")
            for json in body.publish {
                check(json.withUnsafeBytes { (try? JSON.object(in: $0, maxDepth: limits.jsonDepth + 2)) != nil }, "a publish that is no object")
                let parser = PublishParser(app: AppID(1), limits: limits) { _ in [] }
                json.withUnsafeBytes { _ = try? parser.parse(frame: $0) }
            }
        } catch {
            check([.badRequest, .invalidJSON, .invalidCursor, .tooManyTopics].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
    }
}
