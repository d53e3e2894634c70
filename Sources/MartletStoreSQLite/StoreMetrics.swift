package import Metrics

/// What the store counts, once for each commit.
package struct StoreMetrics: Sendable {
    private let commitTime: Timer
    private let commitMessages: Recorder
    private let failures: Counter
    private let expired: Counter
    private let dropped: Counter

    /// - Parameter factory: default keeps nothing.
    package init(factory: any MetricsFactory = NOOPMetricsHandler.instance) {
        self.commitTime = Timer(label: "martlet_store_commit_seconds", factory: factory)
        self.commitMessages = Recorder(label: "martlet_store_commit_messages", factory: factory)
        self.failures = Counter(label: "martlet_store_commit_failures_total", factory: factory)
        self.expired = Counter(label: "martlet_messages_expired_total", factory: factory)
        self.dropped = Counter(label: "martlet_inbox_dropped_total", factory: factory)
    }

    /// The meaning of each metric, by name.
    package static let help: [(name: String, help: String)] = [
        ("martlet_store_commit_seconds", "How long a commit took; with durability full, most of it is the disk's flush."),
        ("martlet_store_commit_messages", "Messages that one commit stored: how well publishes share a flush."),
        ("martlet_store_commit_failures_total", "Commits that failed: disk full, read-only or broken."),
        ("martlet_messages_expired_total", "Messages cleared from the store because their time was over."),
        ("martlet_inbox_dropped_total", "Messages pushed out of full inboxes, one for each inbox."),
    ]

    /// Bounds of `martlet_store_commit_messages`.
    package static let commitMessagesBounds: [Double] = [1, 2, 5, 10, 20, 50, 100, 200, 500]

    func committed(_ group: Group, nanoseconds: Int64) {
        self.commitTime.recordNanoseconds(nanoseconds)
        if !group.items.isEmpty { self.commitMessages.record(group.items.count) }
        if group.expired > 0 { self.expired.increment(by: group.expired) }
        if group.dropped > 0 { self.dropped.increment(by: group.dropped) }
    }

    func failed() { self.failures.increment() }
}

/// How the store stands now.
package struct StoreGauges: Sendable {
    /// Calls that wait for the writer.
    package var queue: Int
    /// Messages that have not expired; after an unclean stop an estimate.
    package var messages: Int
    /// Bytes of the store's files.
    package var bytes: Int64
    package var isWritable: Bool
}
