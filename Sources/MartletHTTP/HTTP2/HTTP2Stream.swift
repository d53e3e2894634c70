import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1
import NIOHTTP2

/// One request of an HTTP/2 connection: frames to the parts of a request, and the bytes of an HTTP/1.1 answer to frames.
///
/// All that answers here writes HTTP/1.1, streams too; what ends their connection ends the stream.
final class HTTP2Stream: ChannelDuplexHandler, RequestSource, Swept {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = HTTP2Frame.FramePayload

    private enum Answer {
        case head
        /// Bytes that are to come; nil: until the stream is closed.
        case body(Int?)
        case ended
    }

    private let connection: HTTP2Connection
    private let limits: Limits
    /// Why the request is not even looked at.
    private let refusal: WireError?
    private var context: ChannelHandlerContext?
    private var answer = Answer.head
    /// The beginning of an answer's head.
    private var begun = ByteBuffer()
    private var hasRequest = false
    private var isRequestEnded = false
    private var isHead = false
    private var isDropping = false
    private var isClosing = false
    /// Since when the client has taken nothing of what waits for it.
    private var stalledAt: NIODeadline?

    /// Time that a client gets to take the end of its answer.
    private static let lingerLimit = TimeAmount.seconds(5)

    var beganAt: NIODeadline? { nil }
    /// Nothing to say here: what frames take is bounded by NIO.
    var onWaste: (() -> Void)?

    init(connection: HTTP2Connection, limits: Limits, refusal: WireError?) {
        self.connection = connection
        self.limits = limits
        self.refusal = refusal
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.connection.streamOpened()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        guard self.context != nil else { return }
        self.context = nil
        self.onWaste = nil
        if self.stalledAt != nil { self.connection.state.unwatch(self) }
        self.connection.streamClosed()
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .headers(let frame):
            if frame.endStream { self.isRequestEnded = true }
            if self.hasRequest { self.end(context) } else { self.begin(frame, context) }
        case .data(let frame):
            if frame.endStream { self.isRequestEnded = true }
            if !self.isDropping, case .byteBuffer(let bytes) = frame.data, bytes.readableBytes > 0 {
                context.fireChannelRead(self.wrapInboundOut(.body(bytes)))
            }
            if frame.endStream { self.end(context) }
        default: break
        }
    }

    private func begin(_ frame: HTTP2Frame.FramePayload.Headers, _ context: ChannelHandlerContext) {
        self.hasRequest = true
        guard let head = HTTP2Head.request(frame.headers, hasBody: !frame.endStream) else { return self.reset(.protocolError) }
        self.isHead = head.method == .HEAD
        if let refusal { return self.refuse(refusal) }
        guard frame.headers.count <= self.limits.headerCount else {
            return self.refuse(
                WireError(.headerTooLarge, "A request's head may have \(self.limits.headerCount) fields.", limit: self.limits.headerCount))
        }
        context.fireChannelRead(self.wrapInboundOut(.head(head)))
        // What follows a CONNECT would be for others (RFC 9113 §8.5), and there are none.
        if frame.endStream || head.method == .CONNECT { self.end(context) }
    }

    private func end(_ context: ChannelHandlerContext) {
        if !self.isDropping { context.fireChannelRead(self.wrapInboundOut(.end(nil))) }
        self.isDropping = true
    }

    private func refuse(_ error: WireError) {
        self.connection.services.metrics.refused(error.code)
        var buffer = ByteBuffer()
        RawResponse.write(error, to: &buffer)
        self.answer(buffer)
    }

    // MARK: Front handler

    func bodyBegins() {}
    func bodyGrew(by count: Int) {}
    func requestEnds() {}

    func drop() {
        self.isDropping = true
        self.context?.read()
    }

    func answer(_ bytes: ByteBuffer) {
        guard let context = self.context else { return }
        self.drop()
        self.write(bytes, context, nil)
        context.flush()
        self.close(context: context, mode: .output, promise: nil)
    }

    // MARK: Answering

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        self.write(self.unwrapOutboundIn(data), context, promise)
    }

    private func write(_ bytes: ByteBuffer, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        var bytes = bytes
        while true {
            switch self.answer {
            case .ended:
                promise?.succeed()
                return
            case .head:
                self.begun.writeBuffer(&bytes)
                guard let head = HTTP2Head.answer(&self.begun) else {
                    promise?.succeed()
                    return
                }
                bytes = self.begun
                self.begun = ByteBuffer()
                self.write(head, isLast: bytes.readableBytes == 0, context, promise)
                if bytes.readableBytes == 0 { return }
            case .body(let left):
                guard bytes.readableBytes > 0 else {
                    promise?.succeed()
                    return
                }
                let rest = left.map { max(0, $0 - bytes.readableBytes) }
                self.answer = rest == 0 ? .ended : .body(rest)
                context.write(self.wrapOutboundOut(.data(.init(data: .byteBuffer(bytes), endStream: rest == 0))), promise: promise)
                return
            }
        }
    }

    /// - Parameter isLast: whether nothing follows in this piece; then the promise goes with the head.
    private func write(_ head: HTTP2Head.Answer, isLast: Bool, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        let hasNoBody = self.isHead || head.status == 204 || head.status == 304 || head.length == 0
        if head.status >= 200 { self.answer = hasNoBody ? .ended : .body(head.length) }
        let frame = HTTP2Frame.FramePayload.Headers(headers: head.fields, endStream: head.status >= 200 && hasNoBody)
        context.write(self.wrapOutboundOut(.headers(frame)), promise: isLast ? promise : nil)
    }

    // MARK: Ending

    /// What ends a connection of HTTP/1.1 ends the answer, as far as it is complete. A second time it resets the stream.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard !self.isClosing else { return context.close(promise: promise) }
        switch self.answer {
        // A part of an answer, or nothing: the client must not take it for the whole.
        case .head, .body(.some): return context.close(promise: promise)
        case .body(nil): self.endAnswer(context)
        case .ended: break
        }
        self.isClosing = true
        promise?.succeed()
        // The client need not send the rest (RFC 9113 §8.1). Otherwise the stream is closed by itself once both sides are done.
        if !self.isRequestEnded { self.reset(.noError) }
    }

    private func endAnswer(_ context: ChannelHandlerContext) {
        self.answer = .ended
        let promise = context.eventLoop.makePromise(of: Void.self)
        let timeout = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerLimit) { context.close(promise: nil) }
        promise.futureResult.assumeIsolated().whenComplete { _ in timeout.cancel() }
        context.writeAndFlush(self.wrapOutboundOut(.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))), promise: promise)
    }

    private func reset(_ code: HTTP2ErrorCode) {
        self.answer = .ended
        self.isDropping = true
        self.context?.writeAndFlush(self.wrapOutboundOut(.rstStream(code)), promise: nil)
    }

    // MARK: Clients that do not read

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            if self.stalledAt != nil { self.connection.state.unwatch(self) }
            self.stalledAt = nil
        } else if self.stalledAt == nil {
            self.stalledAt = .now()
            self.connection.state.watch(self)
        }
        context.fireChannelWritabilityChanged()
    }

    /// On HTTP/1.1 the socket's own timeout does this.
    func sweep(now: NIODeadline) {
        guard let stalledAt, now - stalledAt > .milliseconds(self.limits.heartbeatMs * 2) else { return }
        self.context?.close(promise: nil)
    }
}
