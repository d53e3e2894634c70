/// A way to reach the server.
public struct Transport: Sendable {
    package let make: @Sendable (ServerAddress) -> any MartletTransport
    package init(_ make: @escaping @Sendable (ServerAddress) -> any MartletTransport) { self.make = make }

    /// A WebSocket: the quickest, both ways in one connection.
    public static let webSocket = Transport { WebSocketTransport(server: $0, carrier: PlatformCarrier()) }
    /// Server-sent events, and a request for what the client has to say: gets through proxies that know no WebSocket.
    public static let sse = Transport { EventStreamTransport(server: $0, carrier: PlatformCarrier()) }
}

/// One session at a time over some protocol. It contains no rules of delivery: it says what comes, and sends what it is told to.
package protocol MartletTransport: Sendable {
    /// As ``Status/connected(transport:)`` says it.
    var name: String { get }
    /// Whether a session can subscribe to more while it stands, also without a device.
    var subscribes: Bool { get }

    /// Opens a session and keeps it until it ends or the task is cancelled.
    ///
    /// - Parameters:
    ///   - plan: who, from where, what.
    ///   - outgoing: is sent in order; at its end the session is closed.
    ///   - receive: called for all that comes, in order; while it waits nothing more is read.
    /// - Returns: how it ended.
    func session(_ plan: SessionPlan, outgoing: Outgoing, receive: @escaping @Sendable (ServerFrame) async -> Void) async -> SessionEnd

    /// Whether it gets through, without a session.
    func probe() async -> Bool

    /// Gives back what is kept for the next session.
    func shutdown() async
}

extension MartletTransport {
    package func shutdown() async {}
}
