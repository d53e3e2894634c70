import Metrics

/// What one bridge counts.
struct BridgeMetrics: Sendable {
    /// What came of a poll; failures have the names of their kinds.
    private static let good = ["changed", "unchanged", "not_modified"]
    private static let answers = ["fresh", "fetched", "stale", "failed"]

    private let polls: [String: Counter]
    private let answers: [String: Counter]
    private let pushes: Counter
    private let pushFailures: Counter
    private let time: Timer

    init(_ bridge: String, _ factory: any MetricsFactory) {
        func counters(_ name: String, _ results: [String]) -> [String: Counter] {
            Dictionary(
                uniqueKeysWithValues: results.map {
                    ($0, Counter(label: name, dimensions: [("bridge", bridge), ("result", $0)], factory: factory))
                })
        }
        self.polls = counters("martlet_bridge_polls_total", Self.good + PollFailure.Kind.allCases.map(\.rawValue))
        self.answers = counters("martlet_bridge_answers_total", Self.answers)
        let pushes = counters("martlet_bridge_pushes_total", ["stored", "failed"])
        self.pushes = pushes["stored"] ?? Counter(label: "martlet_bridge_pushes_total", factory: factory)
        self.pushFailures = pushes["failed"] ?? Counter(label: "martlet_bridge_pushes_total", factory: factory)
        self.time = Timer(label: "martlet_bridge_poll_seconds", dimensions: [("bridge", bridge)], factory: factory)
    }

    func polled(_ outcome: FeedTable.Outcome, isChanged: Bool, nanoseconds: Int64) {
        let result =
            switch outcome {
            case .answer: isChanged ? "changed" : "unchanged"
            case .notModified: "not_modified"
            case .failure(let failure): failure.kind.rawValue
            }
        self.polls[result]?.increment()
        self.time.recordNanoseconds(nanoseconds)
    }

    func pushed(_ isGood: Bool) { (isGood ? self.pushes : self.pushFailures).increment() }

    /// - Parameter waited: whether it was polled for.
    func answered(_ reply: FeedTable.Reply, waited: Bool) {
        let result =
            switch reply {
            case .answer(_, _, _, stale: nil): waited ? "fetched" : "fresh"
            case .answer: "stale"
            case .failure, .wait, .full: "failed"
            }
        self.answers[result]?.increment()
    }

    /// The meaning of each metric, by name.
    static let help: [(name: String, help: String)] = [
        (
            "martlet_bridge_polls_total",
            "Polls of a bridge's URL, by what came of them: changed, unchanged, not_modified, or why they failed."
        ),
        ("martlet_bridge_poll_seconds", "How long a poll took, redirects included."),
        ("martlet_bridge_pushes_total", "Answers handed to the desk to be pushed: stored, or failed."),
        (
            "martlet_bridge_answers_total",
            "Requests of those who still poll: fresh (from memory), fetched (they waited for the one poll), stale, failed."
        ),
    ]
}

extension BridgeService {
    /// The meaning of each metric, by name.
    package static let metricsHelp = BridgeMetrics.help
}
