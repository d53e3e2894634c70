import MartletCore
import MartletNode
import MartletWire
import NIOCore
import Synchronization

/// Publishes figures of the server on `$SYS/broker/…`, as MQTT servers do, in the app `default`.
///
/// Who may read them is said like for other topics: nobody whose token does not name them.
struct MQTTStatistics: Sendable {
    private let node: Node
    private let instruments: Instruments
    private let startMs: Int64

    /// What was told last, by name, and how often the clock has struck.
    private final class Told: Sendable {
        let state = Mutex<(turns: Int, values: [String: String])>((0, [:]))
    }

    private let told = Told()

    /// Figures that say who is there are told when they have changed, so that they are right soon after the start.
    private static let interval = TimeAmount.seconds(1)
    /// All of them: as mosquitto's default, every ten seconds.
    private static let turns = 10

    init(node: Node, instruments: Instruments) {
        self.node = node
        self.instruments = instruments
        self.startMs = ServerClock.wallMs()
    }

    /// - Returns: what ends it.
    func start(on loop: any EventLoop) -> RepeatedTask {
        self.tell("version", "Martlet \(BuildInfo.version)")
        return loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.interval) { _ in self.turn() }
    }

    private func turn() {
        let isFull = self.told.state.withLock { state in
            defer { state.turns = (state.turns + 1) % Self.turns }
            return state.turns == 0
        }
        let mqtt = #"transport="mqtt""#
        let connections =
            self.instruments.value("martlet_connections", #"security="plain""#)
            + self.instruments.value("martlet_connections", #"security="tls""#)
        self.tellIfNew("clients/connected", self.instruments.value("martlet_sessions", mqtt), isFull)
        self.tellIfNew("clients/kept", self.node.keptSessions, isFull)
        self.tellIfNew("connections/count", connections, isFull)
        self.tellIfNew("subscriptions/count", self.instruments.value("martlet_subscriptions"), isFull)
        guard isFull else { return }
        self.tell("uptime", "\((ServerClock.wallMs() - self.startMs) / 1_000) seconds")
        self.tell("publish/messages/received", "\(self.instruments.value("martlet_mqtt_publishes_received_total"))")
        self.tell("publish/messages/sent", "\(self.instruments.value("martlet_deliveries_total", mqtt))")
        self.tell("store/messages/count", "\(self.instruments.value("martlet_store_messages"))")
    }

    private func tellIfNew(_ name: String, _ number: Int, _ always: Bool) {
        let value = "\(number)"
        let isNew = self.told.state.withLock { $0.values.updateValue(value, forKey: name) != value }
        if isNew || always { self.tell(name, value) }
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
