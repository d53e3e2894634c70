/// What `martlet top` shows of one interval. Encoded as it is with `--json`: rates per second, times in milliseconds.
struct Figures: Codable {
    struct Quantiles: Codable {
        /// nil if nothing was measured.
        var p50: Double?
        var p99: Double?
    }

    struct Store: Codable {
        var writable: Bool
        var messages: Double
        var bytes: Double
        var queue: Double
        var commitsPerSecond: Double
        var messagesPerCommit: Double?
        var expiredPerSecond: Double
        var droppedPerSecond: Double
    }

    struct Process: Codable {
        /// Of one core, 0 to 100 times the number of cores.
        var cpuPercent: Double
        var memoryBytes: Double
        var openFiles: Double
        var maxFiles: Double
    }

    /// Unix time of the reading, in seconds.
    var time: Double
    var seconds: Double
    var version: String
    var uptimeSeconds: Double
    var sessions: [String: Double]
    var connections: Double
    var openedPerSecond: Double
    var closedPerSecond: Double
    var publishesPerSecond: Double
    var deliveriesPerSecond: Double
    var redeliveriesPerSecond: Double
    var acksPerSecond: Double
    var publishToDeliverMs: Quantiles
    var publishToAckMs: Quantiles
    var commitMs: Quantiles
    var loopLagMs: Quantiles
    var store: Store
    var process: Process
    /// Only reasons that occurred.
    var refusedPerSecond: [String: Double]

    /// - Parameter time: Unix time of the newer reading.
    init(_ change: MetricsChange, time: Double) {
        func quantiles(_ name: String) -> Quantiles {
            Quantiles(
                p50: change.quantile(0.5, of: name).map { $0 * 1_000 }, p99: change.quantile(0.99, of: name).map { $0 * 1_000 })
        }
        let now = change.now
        self.time = time
        self.seconds = change.seconds
        self.version = now.values("martlet_build_info", by: "version").keys.first ?? "unknown"
        self.uptimeSeconds = max(0, time - (now.total("process_start_time_seconds") ?? time))
        self.sessions = now.values("martlet_sessions", by: "transport")
        self.connections = now.total("martlet_connections") ?? 0
        self.openedPerSecond = change.rate("martlet_sessions_opened_total")
        self.closedPerSecond = change.rate("martlet_sessions_closed_total")
        self.publishesPerSecond = change.rates("martlet_publishes_total", by: "result")["stored"] ?? 0
        self.deliveriesPerSecond = change.rate("martlet_deliveries_total")
        self.redeliveriesPerSecond = change.rate("martlet_redeliveries_total")
        self.acksPerSecond = change.rate("martlet_acks_total")
        self.publishToDeliverMs = quantiles("martlet_publish_to_deliver_seconds")
        self.publishToAckMs = quantiles("martlet_publish_to_ack_seconds")
        self.commitMs = quantiles("martlet_store_commit_seconds")
        self.loopLagMs = quantiles("martlet_event_loop_lag_seconds")
        self.store = Store(
            writable: now.total("martlet_store_writable") != 0, messages: now.total("martlet_store_messages") ?? 0,
            bytes: now.total("martlet_store_bytes") ?? 0, queue: now.total("martlet_store_queue") ?? 0,
            commitsPerSecond: change.rate("martlet_store_commit_seconds_count"),
            messagesPerCommit: change.mean("martlet_store_commit_messages"),
            expiredPerSecond: change.rate("martlet_messages_expired_total"),
            droppedPerSecond: change.rate("martlet_inbox_dropped_total"))
        self.process = Process(
            cpuPercent: change.rate("process_cpu_seconds_total") * 100,
            memoryBytes: now.total("process_resident_memory_bytes") ?? 0, openFiles: now.total("process_open_fds") ?? 0,
            maxFiles: now.total("process_max_fds") ?? 0)
        self.refusedPerSecond = change.rates("martlet_refused_total", by: "reason").filter { $0.value > 0 }
    }
}
