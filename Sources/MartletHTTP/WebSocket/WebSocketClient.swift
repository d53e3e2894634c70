import MartletCore
import MartletNet
import MartletWire
import NIOCore

/// A session's hold on its WebSocket: what the core sends, as JSON text frames.
final class WebSocketClient: LiveClient {
    // The connection holds the session, the session this; the node lets go of it when the session ends.
    private let connection: WebSocketConnection
    private let visibleHeartbeat: Bool
    private var isOpened = false

    init(connection: WebSocketConnection, visibleHeartbeat: Bool) {
        self.connection = connection
        self.visibleHeartbeat = visibleHeartbeat
    }

    func opened(_ welcome: Welcome) {
        self.isOpened = true
        self.connection.sendUpgrade()
        self.connection.writeText(512) {
            $0.writeStaticString(#"{"welcome":"#)
            $0.writeBytes(DeliveryJSON.welcome(welcome, withCursor: true))
            $0.writeStaticString("}")
        }
    }

    func refused(_ error: WireError) { self.connection.refuse(error) }

    func send(_ delivery: borrowing Delivery) {
        let delivery = copy delivery
        self.connection.writeText(delivery.message.fragment.count + 320) {
            $0.writeStaticString(#"{"message":"#)
            DeliveryJSON.message(delivery, [.seq, .cursor], into: &$0)
            $0.writeStaticString("}")
        }
    }

    func gap(_ gap: GapNotice) {
        self.connection.writeText(192) {
            $0.writeStaticString(#"{"gap":"#)
            $0.writeBytes(DeliveryJSON.gap(gap))
            $0.writeStaticString("}")
        }
    }

    func send(_ delivery: borrowing TopicDelivery) { self.connection.send(delivery) }

    func gap(_ gap: TopicGap, cursor: Cursor) { self.connection.writeText("gap", DeliveryJSON.gap(gap, cursor: cursor)) }

    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {
        self.connection.writeText("subscribed", DeliveryJSON.subscribed(notices, cursor: cursor))
    }

    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {
        self.connection.writeText(
            "unsubscribed", [UInt8(ascii: "[")] + DeliveryJSON.unsubscribed(filter, reason) + [UInt8(ascii: "]")])
    }

    func presence(_ event: PresenceEvent) { self.connection.writeText("presence", DeliveryJSON.presence(event)) }

    func settled() {}

    func heartbeat() {
        if self.visibleHeartbeat { self.connection.writeText(8) { $0.writeStaticString("{}") } }
        // Also when it is visible: the pong that a ping brings shows that the client lives.
        self.connection.writePing()
    }

    func flush() -> Bool { self.connection.flushOutput() }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        if !self.isOpened, code == .takenOver || self.connection.isUpgraded {
            // Only a close frame can say that coming back makes no sense.
            self.isOpened = true
            self.connection.sendUpgrade()
        }
        guard self.isOpened else {
            self.connection.refuse(code.refusal)
            return
        }
        if code == .serviceRestart {
            self.connection.writeText(48) {
                $0.writeStaticString(#"{"drain":"#)
                $0.writeBytes(DeliveryJSON.drain(reconnectAfterMs: retryAfterMs ?? 0))
                $0.writeStaticString("}")
            }
        }
        self.connection.close(code.rawValue, reason: code.reason)
    }
}
