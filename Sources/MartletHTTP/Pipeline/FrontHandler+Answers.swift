import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// How a request is answered.
extension FrontHandler {
    /// Longest body that is copied behind its head, so that both go in one piece.
    private static let joinedMost = 65_536

    /// Sends the whole answer and gets ready for the next request.
    ///
    /// - Parameters:
    ///   - contentType: nil for none.
    ///   - length: what `Content-Length` says, where that is not the body's (`HEAD`; RFC 9110 §8.6).
    ///   - close: end the connection whatever the client wishes.
    ///   - lingers: the client still sends: close only the sending side, or it loses the answer (RFC 9112 §9.6).
    func respond(
        status: HTTPResponseStatus, contentType: String? = "application/json", headers extra: [(String, String)] = [],
        body: ByteBuffer = ByteBuffer(), length: Int? = nil, close: Bool = false, lingers: Bool = false
    ) {
        guard case .answering(let request) = self.phase, self.context != nil else { return }
        self.onGone = nil
        self.services.metrics.answered(self.route, status: Int(status.code))
        // After an offer to upgrade the parser takes what follows for another protocol.
        let keepAlive = request.isKeepAlive && !close && !self.isQuiescing && !request.headers.contains(name: "upgrade")
        var headers: [(String, String)] = []
        headers.reserveCapacity(6 + extra.count)
        if let contentType { headers.append(("content-type", contentType)) }
        if status != .noContent, status != .notModified {
            headers.append(("content-length", String(length ?? body.readableBytes)))
        }
        headers.append(("date", self.loop.date.header(at: self.services.wall())))
        headers += extra
        // What is for everybody says so itself.
        if let origin = request.headers.first(name: "origin"), !extra.contains(where: { $0.0 == "access-control-allow-origin" }) {
            headers += self.services.origins.headers(origin: origin, host: request.headers.first(name: "host"))
        }
        if !keepAlive {
            headers.append(("connection", "close"))
        } else if request.version == .http1_0 {
            headers.append(("connection", "keep-alive"))
        }
        self.phase = .sending
        self.lastActivity = .now()
        self.peer.answered()
        let ending: QuickLane.Ending = keepAlive ? .next : lingers ? .closeOutput : .close
        let content = body.readableBytes > 0 && request.method != .HEAD ? body : nil
        if let quick = self.quick {
            self.send(status, headers, content, ending, on: quick)
        } else {
            self.send(HTTPResponseHead(version: request.version, status: status, headers: HTTPHeaders(headers)), content, ending)
        }
    }

    private func send(
        _ status: HTTPResponseStatus, _ headers: [(String, String)], _ body: ByteBuffer?, _ ending: QuickLane.Ending, on quick: QuickLane
    ) {
        let isJoined = (body?.readableBytes ?? 0) <= Self.joinedMost
        var bytes = ByteBufferAllocator().buffer(capacity: 384 + (isJoined ? body?.readableBytes ?? 0 : 0))
        bytes.writeStaticString("HTTP/1.1 ")
        bytes.writeString(String(status.code))
        bytes.writeInteger(UInt8(ascii: " "))
        bytes.writeString(status.reasonPhrase)
        bytes.writeStaticString("\r\n")
        for (name, value) in headers {
            bytes.writeString(name)
            bytes.writeStaticString(": ")
            bytes.writeString(value)
            bytes.writeStaticString("\r\n")
        }
        bytes.writeStaticString("\r\n")
        if isJoined, let body { bytes.writeImmutableBuffer(body) }
        quick.send(bytes, isJoined ? nil : body, then: ending)
    }

    /// Through NIO's HTTP handlers.
    private func send(_ head: HTTPResponseHead, _ body: ByteBuffer?, _ ending: QuickLane.Ending) {
        guard let context = self.context else { return }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            guard ending == .next, case .success = result else {
                return context.close(mode: ending == .closeOutput ? .output : .all, promise: nil)
            }
            // Mostly at once; but then not within the flush, because what comes next may write.
            if self.isFlushing { self.isTaken = true } else { self.sent() }
        }
        context.write(self.wrapOutboundOut(.head(head)), promise: body == nil ? promise : nil)
        if let body { context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: promise) }
        // Who still sends gets its request read to the end and dropped. Otherwise the end of the answer, which lets the next
        // request in, waits for the socket.
        if ending == .closeOutput { context.write(self.wrapOutboundOut(.end(nil)), promise: nil) }
        self.isTaken = false
        self.isFlushing = true
        context.flush()
        self.isFlushing = false
        if self.isTaken { self.sent() }
    }

    /// The socket has taken the answer: the next request may come.
    func sent() {
        guard case .sending = self.phase, let context = self.context else { return }
        self.phase = .idle
        if self.isQuiescing { return context.close(promise: nil) }
        if let quick = self.quick { quick.goOn() } else { context.write(self.wrapOutboundOut(.end(nil)), promise: nil) }
    }

    func respond(_ error: WireError, headers: [(String, String)] = [], close: Bool = false, lingers: Bool = false) {
        self.services.metrics.refused(error.code)
        self.respond(
            status: .init(statusCode: error.code.status), headers: headers + error.fields, body: ErrorJSON.buffer(error), close: close,
            lingers: lingers)
    }
}
