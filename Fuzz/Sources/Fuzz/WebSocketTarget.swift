import MartletHTTP
import MartletWire
import NIOCore

/// The same bytes say the same, whole or in pieces cut anywhere; what comes out is within the limits.
enum WebSocketTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        var choices = Choices(bytes)
        let limits = WebSocketDecoder.Limits(messageBytes: Int(choices.byte()) * 8, fragments: Int(choices.byte() & 15) + 1)
        let cuts = choices.bytes(Int(choices.byte() & 15))
        let stream = Array(choices.rest)

        let whole = Self.decode([stream], limits)
        check(Self.decode(pieces(of: stream, cuts), limits) == whole, "pieces say something else")
        check(Self.decode(stream.map { [$0] }, limits) == whole, "single bytes say something else")
        Self.checkLimits(whole, limits)
    }

    private struct Outcome: Equatable {
        var events: [WebSocketEvent] = []
        var error: WebSocketError?
    }

    private static func decode(_ pieces: [[UInt8]], _ limits: WebSocketDecoder.Limits) -> Outcome {
        var decoder = WebSocketDecoder(limits: limits)
        var outcome = Outcome()
        for piece in pieces {
            var buffer = ByteBuffer(bytes: piece)
            decoder.feed(&buffer)
            do throws(WebSocketError) {
                while let event = try decoder.next() {
                    if case .close? = outcome.events.last { check(false, "something after the close") }
                    check(outcome.error == nil, "something after the error")
                    outcome.events.append(event)
                }
            } catch {
                check(outcome.error == nil, "thrown twice")
                outcome.error = error
            }
        }
        return outcome
    }

    private static func checkLimits(_ outcome: Outcome, _ limits: WebSocketDecoder.Limits) {
        for event in outcome.events {
            switch event {
            case .text(let bytes):
                check(bytes.readableBytes <= limits.messageBytes, "a long text")
                check(String(validating: bytes.readableBytesView, as: UTF8.self) != nil, "a text that is not UTF-8")
            case .binary(let bytes): check(bytes.readableBytes <= limits.messageBytes, "a long binary")
            case .ping(let bytes), .pong(let bytes): check(bytes.readableBytes <= 125, "a long ping or pong")
            case .close(let code, let reason): check(reason.utf8.count <= 123 && code != 0, "a wrong close")
            }
        }
        if let error = outcome.error {
            check([.protocolError, .invalidUTF8, .tooBig].contains(error.code), "closed with \(error.code)")
        }
    }
}
