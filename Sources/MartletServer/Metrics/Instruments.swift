import MartletHTTP
import MartletNode
import MartletPrometheus
import MartletStoreSQLite

/// Every metric of the server, with the registry that keeps the numbers.
struct Instruments: Sendable {
    private let prometheus: Prometheus
    let node: NodeMetrics
    let store: StoreMetrics
    let http: HTTPMetrics

    init(isTLS: Bool) {
        let prometheus = Prometheus()
        for (name, help) in NodeMetrics.help + StoreMetrics.help + HTTPMetrics.help { prometheus.describe(name, help) }
        if let (name, help) = StoreMetrics.help.first(where: { $0.name == "martlet_store_commit_messages" }) {
            prometheus.describe(name, help, bounds: StoreMetrics.commitMessagesBounds)
        }
        self.prometheus = prometheus
        self.node = NodeMetrics(factory: prometheus)
        self.store = StoreMetrics(factory: prometheus)
        self.http = HTTPMetrics(factory: prometheus, isTLS: isTLS)
        prometheus.ask("martlet_build_info", "1, with the version that runs.", labels: [("version", BuildInfo.version)]) { 1 }
        ProcessMetrics.add(to: prometheus)
    }

    /// What `/metrics` answers.
    var text: String { self.prometheus.text }

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
        self.prometheus.ask("martlet_store_queue", "Calls that wait for the store's writer.") { Double(store.gauges.queue) }
        self.prometheus.ask("martlet_store_messages", "Messages in the store that have not expired; an estimate after a crash.") {
            Double(store.gauges.messages)
        }
        self.prometheus.ask("martlet_store_bytes", "Bytes of the store's files.") { Double(store.gauges.bytes) }
        self.prometheus.ask("martlet_store_writable", "1 if the last commit went well, 0 if publishes are refused.") {
            store.gauges.isWritable ? 1 : 0
        }
    }
}
