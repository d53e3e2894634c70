import MartletWire

/// What one app holds of the memory log.
struct TopicShare {
    /// One message in the order of all.
    struct Place {
        var offset: UInt64
        var id: MessageID
        var slot: Int32
        var isRecalled = false
    }

    /// Everything that is kept, and some that is not any more, by offset.
    var places = TopicQueue<Place>()
    /// Messages in rings, and retained values.
    private(set) var kept = 0
    private(set) var bytes = 0

    mutating func count(_ messages: Int, _ bytes: Int) {
        self.kept += messages
        self.bytes += bytes
    }
}

/// How many messages limits took of topics in memory, by the limit. What had expired by itself is not among them.
package struct TopicEvictions: Equatable, Sendable {
    package enum Reason: Int, CaseIterable, Sendable {
        /// The options of the namespace: too many messages, too old, or too large together.
        case messages, age, bytes
        /// ``Limits/topicMemoryBytes``; retained values too.
        case memory
    }

    private var counts: InlineArray<4, Int> = .init(repeating: 0)

    package init() {}

    package subscript(reason: Reason) -> Int {
        get { self.counts[reason.rawValue] }
        set { self.counts[reason.rawValue] = newValue }
    }

    package static func == (left: TopicEvictions, right: TopicEvictions) -> Bool {
        Reason.allCases.allSatisfy { left[$0] == right[$0] }
    }
}
