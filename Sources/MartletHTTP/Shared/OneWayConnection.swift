import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP1

/// A connection on which only the server speaks: `/v1/sse`, `/ramen/receive` and `/v1/stream`. What the bytes mean is the encoder's.
///
/// Without `Content-Length` and with `Connection: close` the body ends with the connection (RFC 9112 §6.3), so it needs no
/// chunk framing.
final class OneWayConnection: HTTPStream, LiveClient {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let services: HTTPServices
    let loop: HTTPLoop
    let peer: Peer
    /// Let go once the session is open.
    private var hello: HelloBox?
    // Not a type parameter: through the node's `any LiveClient` generic code would run unspecialized, for every message.
    private let encoder: any OneWayEncoder
    var context: ChannelHandlerContext?
    var handle: (any SessionHandle)?
    var output = StreamOutput()
    /// Header lines for a page of another origin; let go once they are sent.
    private var corsLines: String
    private var isOpened = false
    private var isEnded = false

    init(front: FrontHandler, hello: Hello, encoder: any OneWayEncoder, corsLines: String) {
        self.services = front.services
        self.loop = front.loop
        self.peer = front.peer
        self.hello = HelloBox(hello)
        self.encoder = encoder
        self.corsLines = corsLines
    }

    var state: LoopState { self.loop.state }

    // MARK: Channel

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // A client has nothing to say on a stream; what it sends is dropped.
    }

    func begin() {
        guard let context = self.context, let hello = self.hello else { return }
        self.hello = nil
        StreamSocket.prepare(context.channel, heartbeatMs: hello.value.heartbeatMs, self.services.limits, isDirect: self.output.isDirect)
        let handle = self.services.gateway.open(hello.value, client: self, shard: self.state.index)
        if self.isEnded || self.context == nil { handle.clientClosed() } else { self.handle = handle }
    }

    // MARK: LiveClient

    func opened(_ welcome: Welcome) {
        self.isOpened = true
        self.output.append(640) { buffer in
            buffer.writeStaticString(
                """
                HTTP/1.1 200 OK\r
                x-accel-buffering: no\r
                connection: close\r
                date:\u{20}
                """)
            buffer.writeString(self.loop.date.header(at: self.services.wall()))
            buffer.writeStaticString("\r\n")
            self.encoder.head(into: &buffer)
            buffer.writeString(self.corsLines)
            buffer.writeStaticString("\r\n")
            self.corsLines = ""
            self.encoder.welcome(welcome, into: &buffer)
        }
    }

    func refused(_ error: WireError) {
        self.services.metrics.refused(error.code)
        self.end { self.encoder.refusal(error, extra: self.corsLines, into: &$0) }
    }

    func send(_ delivery: borrowing Delivery) {
        let capacity = delivery.message.fragment.count + 320
        let delivery = copy delivery
        self.output.append(capacity) { self.encoder.message(delivery, into: &$0) }
    }

    func gap(_ gap: GapNotice) { self.output.append(192) { self.encoder.gap(gap, into: &$0) } }

    func send(_ delivery: borrowing TopicDelivery) { self.encoder.message(delivery, to: &self.output) }

    func gap(_ gap: TopicGap, cursor: Cursor) {
        self.output.append(192) { self.encoder.gap(gap, cursor: cursor, into: &$0) }
    }

    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {
        // Nothing is asked for on the stream itself, but an exchange of the device may.
        self.output.append(192) { self.encoder.subscribed(notices, cursor: cursor, into: &$0) }
    }

    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {
        self.output.append(192) { self.encoder.unsubscribed(filter, reason, into: &$0) }
    }

    func presence(_ event: PresenceEvent) { self.output.append(512) { self.encoder.presence(event, into: &$0) } }

    func settled() {}

    func heartbeat() {
        // Who does not read needs no more to read.
        guard !self.output.isWaiting else { return }
        self.output.append(32) { self.encoder.heartbeat(into: &$0) }
    }

    func flush() -> Bool { self.isEnded || self.flushOutput() }

    func socketTook() { self.handle?.socketTook() }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        guard self.isOpened else {
            // Taken over, and back by itself: 204 tells an EventSource to stop (WHATWG HTML §9.2.3).
            if code == .takenOver {
                self.end { $0.writeString("HTTP/1.1 204 No Content\r\nconnection: close\r\n\(self.corsLines)\r\n") }
            } else {
                self.refused(code.refusal)
            }
            return
        }
        if code == .serviceRestart {
            self.end { self.encoder.drain(reconnectAfterMs: retryAfterMs ?? 0, into: &$0) }
        } else {
            self.end { self.encoder.close(code, retryAfterMs: retryAfterMs, into: &$0) }
        }
    }

    private func end(_ write: (inout ByteBuffer) -> Void) {
        guard !self.isEnded else { return }
        self.output.append(256, write)
        self.isEnded = true
        self.finishOutput()
    }

    // MARK: Connection

    func quiesce() {
        // The node tells each session to go, which ends the connection.
    }
}
