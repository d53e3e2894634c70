import MartletCore
import MartletWire
import NIOCore
import NIOHTTP1

/// What ends a connection that does not behave: slow, silent, wasteful or not HTTP.
extension FrontHandler {
    /// Time for a client to read the refusal of what it is still sending.
    private static let lingerLimit = TimeAmount.seconds(5)

    func sweep(now: NIODeadline) {
        let limits = self.services.limits
        switch self.phase {
        case .idle:
            if let beganAt = self.source?.beganAt {
                guard now - beganAt > .seconds(Int64(limits.headSeconds)) else { return }
                self.answerRaw(
                    WireError(
                        .requestTimeout, "A request's head must be complete within \(limits.headSeconds) s.", limit: limits.headSeconds))
            } else if now - self.lastActivity > .seconds(Int64(self.isUsed ? limits.idleSeconds : limits.headSeconds)) {
                self.context?.close(promise: nil)
            }
        case .reading(let head):
            guard now - self.lastActivity > .seconds(Int64(limits.bodySeconds)) else { return }
            self.refuse(
                head,
                WireError(
                    .requestTimeout, "A request's body must be complete within \(limits.bodySeconds) s.", limit: limits.bodySeconds))
        case .dropping:
            if now - self.lastActivity > Self.lingerLimit { self.context?.close(promise: nil) }
        // A client that does not read its answer.
        case .sending:
            if now - self.lastActivity > .seconds(Int64(limits.idleSeconds)) { self.context?.close(promise: nil) }
        // Answers that are being made have limits of their own.
        case .answering, .handedOver: return
        }
    }

    /// The framing of the body in hand takes far more bytes than the body.
    func refuseWaste() {
        guard case .reading(let head) = self.phase else { return }
        self.refuse(head, WireError(.badRequest, "The chunks of this body are mostly framing: send larger ones."))
    }

    /// - Returns: whether the error is dealt with; otherwise the connection ends.
    func takesError(_ error: any Error) -> Bool {
        switch (self.phase, error) {
        case (.idle, let error as HTTPParserError), (.reading, let error as HTTPParserError):
            let limits = self.services.limits
            switch error {
            case .headerOverflow:
                self.answerRaw(
                    WireError(
                        .headerTooLarge,
                        "A request's head may have \(limits.headerBytes) bytes and \(limits.headerCount) fields.",
                        limit: limits.headerBytes))
            default:
                self.answerRaw(WireError(.badRequest, "This is not a request that HTTP/1.1 allows (RFC 9112)."))
            }
            return true
        // The decoder has given up; the rest of what the client sends is dropped until it has read the answer.
        case (.dropping, is HTTPParserError), (.dropping, is ByteToMessageDecoderError): return true
        default: return false
        }
    }

    /// Answers when there is no request to answer, and ends the connection.
    private func answerRaw(_ error: WireError) {
        self.phase = .dropping
        self.lastActivity = .now()
        self.services.metrics.refused(error.code)
        var buffer = ByteBuffer()
        RawResponse.write(error, to: &buffer)
        self.source?.answer(buffer)
    }
}

/// What RFC 9112 demands of a head and the decoder does not check.
enum HeadCheck {
    /// - Returns: why the request must not be answered otherwise; nil if it may.
    static func fault(in head: HTTPRequestHead) -> WireError? {
        let hosts = head.headers["host"].count
        if hosts > 1 || (hosts == 0 && head.version == .http1_1) {
            return WireError(.badRequest, "A request has one Host field (RFC 9112 §3.2).")
        }
        // Which of two counts, others on the way may see differently (RFC 9110 §5.3, RFC 6454 §7.3).
        for name in ["Authorization", "Origin"] where head.headers[name].count > 1 {
            return WireError(.badRequest, "A request has one \(name) field at most.")
        }
        // What is coded otherwise would be taken for what it is not (RFC 9112 §6.1).
        let codings = head.headers["transfer-encoding"]
        if !codings.isEmpty, codings.count > 1 || codings[0].lowercased() != "chunked" {
            return WireError(.badRequest, "The only Transfer-Encoding that is taken is chunked.")
        }
        // Who forwards it as HTTP/1.0 does not see where its body ends (RFC 9112 §6.1).
        if head.version == .http1_0, head.headers.contains(name: "transfer-encoding") {
            return WireError(.badRequest, "HTTP/1.0 has no Transfer-Encoding (RFC 9112 §6.1).")
        }
        return nil
    }
}
