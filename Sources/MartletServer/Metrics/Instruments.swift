import MartletBridge
import MartletGRPC
import MartletHTTP
import MartletMQTT
import MartletNet
import MartletNode
import MartletPrometheus
import MartletStoreSQLite
import Metrics

/// Every metric of the server, with the registry that keeps the numbers.
struct Instruments: Sendable {
    private let prometheus: Prometheus
    let node: NodeMetrics
    let store: StoreMetrics
    let http: HTTPMetrics
    let mqtt: MQTTMetrics
    let grpc: GRPCMetrics

    init(isTLS: Bool) {
        let prometheus = Prometheus()
        for (name, help) in NodeMetrics.help + StoreMetrics.help + HTTPMetrics.help + MQTTMetrics.help + GRPCMetrics.help + BridgeService.metricsHelp
        {
            prometheus.describe(name, help)
        }
        if let (name, help) = StoreMetrics.help.first(where: { $0.name == "martlet_store_commit_messages" }) {
            prometheus.describe(name, help, bounds: StoreMetrics.commitMessagesBounds)
        }
        self.prometheus = prometheus
        self.node = NodeMetrics(factory: prometheus)
        self.store = StoreMetrics(factory: prometheus)
        self.http = HTTPMetrics(factory: prometheus, isTLS: isTLS)
        self.mqtt = MQTTMetrics(factory: prometheus)
        self.grpc = GRPCMetrics(factory: prometheus)
        prometheus.ask("martlet_build_info", "1, with the version that runs.", labels: [("version", BuildInfo.version)]) { 1 }
        ProcessMetrics.add(to: prometheus)
    }

    /// Counts the open connections of a listener that is not HTTP's, with those of HTTP.
    func connections(isTLS: Bool) -> @Sendable (Int) -> Void {
        let meter = Meter(label: "martlet_connections", dimensions: [("security", isTLS ? "tls" : "plain")], factory: self.prometheus)
        return { meter.increment(by: Double($0)) }
    }

    /// Where bridges make theirs: each has its own.
    var factory: any MetricsFactory { self.prometheus }

    /// What `/metrics` answers.
    var text: String { self.prometheus.text }

    /// What a number stands at.
    ///
    /// - Parameter labels: as the text has them; empty for none.
    func value(_ name: String, _ labels: String = "") -> Int { Int(self.prometheus.value(of: name, labels)) }

    /// How often was refused, by error code.
    var refusals: [String: Int64] {
        var refusals: [String: Int64] = [:]
        for (labels, count) in self.prometheus.counts(of: "martlet_refused_total") {
            refusals[String(labels.dropFirst("reason=\"".count).dropLast())] = count
        }
        return refusals
    }

    /// From now on the text tells how the store stands and how many connections there may be.
    func watch(_ store: SQLiteStore, connections gate: ConnectionGate) {
        self.prometheus.ask("martlet_connections_limit", "Connections that may be open.") { Double(gate.limit) }
        // Weakly: the store holds its instruments, and they the registry.
        func tell(_ name: String, _ help: String, _ value: @escaping @Sendable (StoreGauges) -> Double) {
            self.prometheus.ask(name, help) { [weak store] in store.map { value($0.gauges) } ?? 0 }
        }
        tell("martlet_store_queue", "Calls that wait for the store's writer.") { Double($0.queue) }
        tell("martlet_store_messages", "Messages in the store that have not expired; an estimate after a crash.") { Double($0.messages) }
        tell("martlet_store_bytes", "Bytes of the store's files.") { Double($0.bytes) }
        tell("martlet_store_writable", "1 if the last commit went well, 0 if publishes are refused.") { $0.isWritable ? 1 : 0 }
    }

    /// From now on the text tells how the bridges stand.
    func watch(_ bridges: BridgeService) {
        bridges.watch { bridge, gauges in
            self.prometheus.ask(
                "martlet_bridge_age_seconds", "Time since the last good poll of what somebody wants; of users' the oldest.",
                labels: [("bridge", bridge)]
            ) { gauges().ageSeconds }
            self.prometheus.ask("martlet_bridge_urls", "URLs that are polled for somebody.", labels: [("bridge", bridge)]) { Double(gauges().urls) }
        }
    }
}
