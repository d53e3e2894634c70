import MartletCore
import MartletProto
import MartletWire
import SwiftProtobuf

/// A session's hold on its call or WebSocket: what the core sends, as `ConnectResponse`s.
final class PushClient: LiveClient {
    // The connection holds the session, the session this; the node lets go of it when the session ends.
    private let connection: PushConnection

    init(connection: PushConnection) { self.connection = connection }

    func opened(_ welcome: Welcome) { self.connection.opened(welcome) }

    func refused(_ error: WireError) { self.connection.refuse(error) }

    func send(_ delivery: borrowing Delivery) { self.connection.send(delivery) }

    func send(_ delivery: borrowing TopicDelivery) { self.connection.send(delivery) }

    func gap(_ gap: GapNotice) { self.connection.send(ServerFrames.gap(gap)) }

    func gap(_ gap: TopicGap, cursor: Cursor) { self.connection.send(ServerFrames.gap(gap, cursor: cursor)) }

    func subscribed(_ notices: [SubscribedNotice], cursor: Cursor) {
        self.connection.send(ServerFrames.subscribed(notices, cursor: cursor, ref: self.connection.ref))
    }

    func unsubscribed(_ filter: TopicFilter, _ reason: UnsubscribeReason) {
        let notice = ServerFrames.unsubscribed(filter, reason)
        if self.connection.ended != nil, reason != .forbidden {
            self.connection.ended?.append(notice)
        } else {
            self.connection.send(.with { $0.unsubscribed = notice })
        }
    }

    func presence(_ event: PresenceEvent) { self.connection.send(ServerFrames.presence(event)) }

    func settled() {}

    func heartbeat() { self.connection.heartbeat() }

    func flush() -> Bool { self.connection.flush() }

    func close(_ code: CloseCode, retryAfterMs: Int64?) {
        let connection = self.connection
        guard connection.phase != .closing, connection.phase != .leaving else { return }
        if code == .serviceRestart, connection.phase == .open {
            connection.send(ServerFrames.drain(reconnectAfterMs: retryAfterMs ?? 0))
            return connection.leave(with: GRPCStatus(code, retryAfterMs: retryAfterMs), code)
        }
        if code == .tokenExpired, connection.phase == .open || connection.form == .webSocket {
            connection.send(ServerFrames.error(WireError(.tokenExpired, "The token's time is over: get a new one and connect again.")))
        }
        connection.phase = .closing
        var status = GRPCStatus(code, retryAfterMs: retryAfterMs)
        if code == .tokenExpired { status.error = .tokenExpired }
        connection.finish(status, code)
    }
}
