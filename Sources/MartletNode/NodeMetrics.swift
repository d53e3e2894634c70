import MartletCore
import MartletWire
package import Metrics
import NIOCore

/// What the node counts. Sessions of any number share it; what happens per message is added up per turn of a loop first.
package struct NodeMetrics: Sendable {
    private let sessions: [Meter]
    private let opened: [Counter]
    private let closed: [CloseCode: Counter]
    private let left: Counter
    private let stored, repeated, conflict, failed: Counter
    private let deliveries: [Counter]
    private let redeliveries: Counter
    private let gaps: [String: Counter]
    private let subscribed: Meter
    private let topicBytes: Meter
    private let keptSessions: Meter
    private let evictions: [Counter]
    let acks: Counter
    private let publishToDeliver: Timer
    private let publishToAck: Timer
    private let loopLag: Timer

    /// Codes with which the node ends sessions.
    private static let codes: [CloseCode] = [
        .heartbeatTimeout, .storeUnavailable, .tokenExpired, .takenOver, .disconnected, .serviceRestart,
    ]

    /// Why messages are missing, in an inbox or in a topic.
    private static let gapReasons = ["inbox_full", "owner", "epoch", "beyond_end", "trimmed", "slow"]

    /// - Parameter factory: default keeps nothing.
    package init(factory: any MetricsFactory = NOOPMetricsHandler.instance) {
        func counter(_ name: String, _ label: String, _ value: String) -> Counter {
            Counter(label: name, dimensions: [(label, value)], factory: factory)
        }
        let transports = TransportKind.allCases.map(\.name)
        self.sessions = transports.map {
            Meter(label: "martlet_sessions", dimensions: [("transport", $0)], factory: factory)
        }
        self.opened = transports.map { counter("martlet_sessions_opened_total", "transport", $0) }
        self.closed = Dictionary(
            uniqueKeysWithValues: Self.codes.map { code in
                let reason = String(code.reason.map { $0 == " " ? "_" : $0 })
                return (code, counter("martlet_sessions_closed_total", "reason", reason))
            })
        self.left = counter("martlet_sessions_closed_total", "reason", "client")
        self.stored = counter("martlet_publishes_total", "result", "stored")
        self.repeated = counter("martlet_publishes_total", "result", "repeated")
        self.conflict = counter("martlet_publishes_total", "result", "conflict")
        self.failed = counter("martlet_publishes_total", "result", "failed")
        self.deliveries = transports.map { counter("martlet_deliveries_total", "transport", $0) }
        self.redeliveries = Counter(label: "martlet_redeliveries_total", factory: factory)
        self.gaps = Dictionary(
            uniqueKeysWithValues: Self.gapReasons.map { ($0, counter("martlet_gaps_total", "reason", $0)) })
        self.subscribed = Meter(label: "martlet_subscriptions", factory: factory)
        self.keptSessions = Meter(label: "martlet_kept_sessions", factory: factory)
        self.topicBytes = Meter(label: "martlet_topic_memory_bytes", factory: factory)
        self.evictions = TopicEvictions.Reason.allCases.map { counter("martlet_topic_evictions_total", "reason", "\($0)") }
        self.acks = Counter(label: "martlet_acks_total", factory: factory)
        self.publishToDeliver = Timer(label: "martlet_publish_to_deliver_seconds", factory: factory)
        self.publishToAck = Timer(label: "martlet_publish_to_ack_seconds", factory: factory)
        self.loopLag = Timer(label: "martlet_event_loop_lag_seconds", factory: factory)
    }

    /// The meaning of each metric, by name.
    package static let help: [(name: String, help: String)] = [
        ("martlet_sessions", "Live sessions."),
        ("martlet_sessions_opened_total", "Sessions that were opened; each poll and exchange opens one."),
        ("martlet_sessions_closed_total", "Sessions that ended: client (it left), or the close code's name."),
        (
            "martlet_publishes_total",
            "Messages that were published: stored, repeated (known idempotency key), conflict (the key is another message's), failed (the store could not), refused (not valid or not allowed)."
        ),
        ("martlet_deliveries_total", "Messages handed to connections, one for each device, redeliveries included."),
        ("martlet_redeliveries_total", "Deliveries of messages that may have been sent to the device before."),
        ("martlet_gaps_total", "Notices to clients that messages are missing or a cursor cannot be used."),
        ("martlet_subscriptions", "Live subscriptions to topics and filters."),
        ("martlet_kept_sessions", "Sessions that outlive their connections, live ones included (MQTT)."),
        ("martlet_topic_memory_bytes", "History and retained values of topics that are held in memory."),
        (
            "martlet_topic_evictions_total",
            "Messages of topics in memory that a limit took: messages, age, bytes (of a topic's history) or memory (of all topics together)."
        ),
        ("martlet_acks_total", "Acks taken by frame or request; one may cover many messages."),
        (
            "martlet_publish_to_deliver_seconds",
            "From a commit until the last live receiver on an event loop was handed it: one value for each commit and loop with receivers."
        ),
        (
            "martlet_publish_to_ack_seconds",
            "From a commit to the ack of a message sent live: at most one message of a session is measured at a time."
        ),
        ("martlet_event_loop_lag_seconds", "How late a timer ran on an event loop, measured twice a second on each."),
    ]

    func opened(_ transport: TransportKind) {
        self.opened[Int(transport.rawValue)].increment()
        self.sessions[Int(transport.rawValue)].increment(by: 1.0)
    }

    func closed(_ transport: TransportKind, _ code: CloseCode?) {
        self.sessions[Int(transport.rawValue)].decrement(by: 1.0)
        (code.flatMap { self.closed[$0] } ?? self.left).increment()
    }

    func gap(_ reason: String) { self.gaps[reason]?.increment() }

    func subscriptions(_ difference: Int) {
        if difference > 0 { self.subscribed.increment(by: Double(difference)) }
        if difference < 0 { self.subscribed.decrement(by: Double(-difference)) }
    }

    /// What topics in memory hold, and what limits took of them since the last call.
    func topics(bytes: Int, evictions: TopicEvictions) {
        self.topicBytes.set(bytes)
        for reason in TopicEvictions.Reason.allCases where evictions[reason] > 0 {
            self.evictions[reason.rawValue].increment(by: evictions[reason])
        }
    }

    func kept(_ count: Int) { self.keptSessions.set(count) }

    func acked(after time: TimeAmount) { self.publishToAck.recordNanoseconds(time.nanoseconds) }

    func delivered(after time: TimeAmount) { self.publishToDeliver.recordNanoseconds(time.nanoseconds) }

    func loopWasLate(_ time: TimeAmount) { self.loopLag.recordNanoseconds(max(0, time.nanoseconds)) }

    func published(_ outcomes: [AppendOutcome]) {
        var new = 0
        for outcome in outcomes {
            switch outcome {
            case .stored(_, repeated: false): new += 1
            case .stored(_, repeated: true): self.repeated.increment()
            case .conflict: self.conflict.increment()
            case .failed: self.failed.increment()
            }
        }
        if new > 0 { self.stored.increment(by: new) }
    }

    /// Adds what one turn of a loop has sent.
    func add(_ tally: TurnTally) {
        for index in self.deliveries.indices where tally.deliveries[index] > 0 {
            self.deliveries[index].increment(by: tally.deliveries[index])
        }
        if tally.redeliveries > 0 { self.redeliveries.increment(by: tally.redeliveries) }
    }
}

/// What one turn of a loop has sent: plain numbers, so that a message costs next to nothing.
struct TurnTally {
    /// By transport: room for more than ``TransportKind`` has.
    var deliveries: InlineArray<16, Int> = .init(repeating: 0)
    var redeliveries = 0

    var isEmpty: Bool { self.deliveries.indices.allSatisfy { self.deliveries[$0] == 0 } }

    @inline(__always)
    mutating func sentTopic(on transport: TransportKind) { self.deliveries[Int(transport.rawValue)] += 1 }

    mutating func sent(_ delivery: borrowing Delivery, on transport: TransportKind) {
        self.deliveries[Int(transport.rawValue)] += 1
        if delivery.redelivered { self.redeliveries += 1 }
    }
}
