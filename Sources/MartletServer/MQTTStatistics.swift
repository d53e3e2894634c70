import MartletCore
import MartletNode
import MartletWire
import NIOCore

/// Publishes figures of the server on `$SYS/broker/…`, as MQTT servers do, in the app `default`.
///
/// Who may read them is said like for other topics: nobody whose token does not name them.
struct MQTTStatistics: Sendable {
    private let node: Node
    private let instruments: Instruments
    private let startMs: Int64

    /// As mosquitto's default.
    private static let interval = TimeAmount.seconds(10)

    init(node: Node, instruments: Instruments) {
        self.node = node
        self.instruments = instruments
        self.startMs = ServerClock.wallMs()
    }

    /// - Returns: what ends it.
    func start(on loop: any EventLoop) -> RepeatedTask {
        self.tell("version", "Martlet \(BuildInfo.version)")
        return loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.interval) { _ in self.tellAll() }
    }

    private func tellAll() {
        let mqtt = #"transport="mqtt""#
        let connections =
            self.instruments.value("martlet_connections", #"security="plain""#)
            + self.instruments.value("martlet_connections", #"security="tls""#)
        self.tell("uptime", "\((ServerClock.wallMs() - self.startMs) / 1_000) seconds")
        self.tell("clients/connected", "\(self.instruments.value("martlet_sessions", mqtt))")
        self.tell("clients/kept", "\(self.node.keptSessions)")
        self.tell("connections/count", "\(connections)")
        self.tell("subscriptions/count", "\(self.instruments.value("martlet_subscriptions"))")
        self.tell("publish/messages/received", "\(self.instruments.value("martlet_mqtt_publishes_received_total"))")
        self.tell("publish/messages/sent", "\(self.instruments.value("martlet_deliveries_total", mqtt))")
        self.tell("store/messages/count", "\(self.instruments.value("martlet_store_messages"))")
    }

    private func tell(_ name: String, _ value: String) {
        let topic = "$SYS/broker/" + name
        var members = Array(#""topic":"#.utf8)
        JSON.append(topic, to: &members)
        members.append(contentsOf: #","data":"#.utf8)
        JSON.append(value, to: &members)
        self.node.tell(TopicKey(app: .dev, name: topic), members: members)
    }
}
