import MartletCore
import MartletWire

/// What was published to a topic, and what became of it.
final class TopicPublication {
    let number: Int
    let topic: String
    let ttl: Int
    let retain: TopicAppend.Retain
    let idempotencyKey: String?
    let padding: Int
    /// Where it is kept; nil if it is only for those who are there.
    let log: TopicLogKind?
    /// Whether the store is asked to keep it, be it as the retained value.
    let isStored: Bool
    let submittedTick: Int
    let submittedNow: Int64
    /// The history of its log that it was published in.
    var history: Int
    var answeredTick: Int?
    var answeredNow: Int64?
    var id: MessageID?
    /// Its offset, once it is known to be in the log, and when that was.
    var offset: UInt64?
    var storedTick: Int?
    var wasRecallAsked = false
    var isRecalled = false

    init(
        number: Int, topic: String, ttl: Int, retain: TopicAppend.Retain, idempotencyKey: String?, padding: Int, options: TopicOptions,
        tick: Int, now: Int64, histories: Histories
    ) {
        self.number = number
        self.topic = topic
        self.ttl = ttl
        self.retain = retain
        self.idempotencyKey = idempotencyKey
        self.padding = padding
        self.log = ttl > 0 ? options.log : nil
        self.isStored = options.storage == .durable && (ttl > 0 && options.keepsHistory || retain != .leave)
        self.submittedTick = tick
        self.submittedNow = now
        self.history = histories[self.isStored ? .durable : .memory]
    }

    /// Which history each log is in: of memory a new one with each start, of the store after a restored backup.
    struct Histories: Equatable {
        var memory = 0
        var durable = 0
        subscript(log: TopicLogKind) -> Int { log == .memory ? self.memory : self.durable }
    }

    func request(keep: TopicAppend.Keep) -> AppendRequest {
        let members = Array("\"n\":\(self.number),\"p\":\"".utf8) + [UInt8](repeating: 0x78, count: self.padding) + [0x22]
        return AppendRequest(
            app: .dev, targets: [], ttl: self.ttl,
            idempotency: self.idempotencyKey.map { .init(key: $0, digest: [UInt8(truncatingIfNeeded: self.number)]) },
            topic: TopicAppend(name: self.topic, retain: self.retain, keep: keep), members: members)
    }

    /// What it takes in a log, at most, in bytes.
    var weight: Int { 100 + self.padding }

    func isExpired(at now: Int64) -> Bool { now >= self.submittedNow + Int64(self.ttl) * 1_000 }
}

/// Whether a filter matches a topic, put as plainly as can be (MQTT 5.0 §4.7), to judge what is clever.
func plainlyMatches(_ filter: String, _ topic: String) -> Bool {
    let filters = filter.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let levels = topic.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    if levels[0].hasPrefix("$"), filters[0] == "+" || filters[0] == "#" { return false }
    for (index, level) in filters.enumerated() {
        if level == "#" { return true }
        guard index < levels.count, level == "+" || level == levels[index] else { return false }
    }
    return filters.count == levels.count
}
