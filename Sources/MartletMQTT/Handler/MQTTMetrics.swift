package import Metrics

/// What MQTT counts beside what all transports count.
package struct MQTTMetrics: Sendable {
    private let connects: [MQTTReasonCode: Counter]
    private let disconnects: [MQTTReasonCode: Counter]
    private let received: Counter
    private let published: Counter

    /// - Parameter factory: default keeps nothing.
    package init(factory: any MetricsFactory = NOOPMetricsHandler.instance) {
        func counters(_ name: String) -> [MQTTReasonCode: Counter] {
            Dictionary(
                uniqueKeysWithValues: MQTTReasonCode.allCases.map { code in
                    (code, Counter(label: name, dimensions: [("reason", code.name)], factory: factory))
                })
        }
        self.connects = counters("martlet_mqtt_connects_total")
        self.disconnects = counters("martlet_mqtt_disconnects_total")
        self.received = Counter(label: "martlet_mqtt_packets_received_total", factory: factory)
        self.published = Counter(label: "martlet_mqtt_publishes_received_total", factory: factory)
    }

    /// The meaning of each metric, by name.
    package static let help: [(name: String, help: String)] = [
        ("martlet_mqtt_connects_total", "CONNECT packets that were answered, by the reason code of the answer."),
        ("martlet_mqtt_disconnects_total", "MQTT connections that the server ended, by reason code."),
        ("martlet_mqtt_packets_received_total", "MQTT packets of any type from clients."),
        ("martlet_mqtt_publishes_received_total", "PUBLISH packets from clients, repeats included."),
    ]

    func connected(_ reason: MQTTReasonCode) { self.connects[reason]?.increment() }
    func disconnected(_ reason: MQTTReasonCode) { self.disconnects[reason]?.increment() }

    /// What one turn of a connection has read.
    func read(packets: Int, publishes: Int) {
        self.received.increment(by: packets)
        if publishes > 0 { self.published.increment(by: publishes) }
    }
}

extension MQTTReasonCode {
    /// As a label: `session_taken_over`.
    var name: String {
        var name = ""
        for character in "\(self)" {
            if character.isUppercase { name += "_" }
            name += character.lowercased()
        }
        return name
    }
}
