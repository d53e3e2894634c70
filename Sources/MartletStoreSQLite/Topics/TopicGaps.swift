import MartletCore

/// What a reading has to say of messages that are kept no longer.
struct TopicGaps {
    /// Topics named one by one; more are told as one gap of the filter.
    static let limit = 1_000

    private let filter: TopicFilter
    /// nil if the reading does not start after an offset.
    let after: UInt64?
    /// Up to here topics may have lost something of which nothing is known any more.
    private let floor: UInt64
    private var gaps: [TopicGap] = []
    private(set) var largest: UInt64 = 0
    private var isCollapsed = false
    /// By topic: up to where the reading itself found messages too old.
    var aged: [Int64: UInt64] = [:]

    init(_ request: TopicReadRequest, floor: UInt64) {
        self.filter = request.filter
        self.floor = floor
        if case .after(let offset) = request.start { self.after = offset } else { self.after = nil }
    }

    /// Whether anything is to be found out.
    var isWanted: Bool { self.after != nil }

    mutating func add(_ topic: String, _ lost: UInt64) {
        guard let after, lost > after else { return }
        self.largest = max(self.largest, lost)
        if self.gaps.count >= Self.limit { self.isCollapsed = true }
        if !self.isCollapsed { self.gaps.append(TopicGap(topic: topic, reason: .trimmed, from: after, to: lost)) }
    }

    /// Too many to be named.
    mutating func collapse(upTo lost: UInt64) {
        guard let after, lost > after else { return }
        self.isCollapsed = true
        self.largest = max(self.largest, lost)
    }

    /// No topic of the filter is known: it may have been forgotten.
    mutating func addUnknown() {
        if !self.filter.isWildcard { self.add(self.filter.text, self.floor) }
    }

    var list: [TopicGap] {
        guard let after else { return [] }
        let all = { (upTo: UInt64) in TopicGap(topic: self.filter.text, reason: .trimmed, from: after, to: upTo) }
        if self.isCollapsed { return [all(max(self.largest, self.floor))] }
        guard self.filter.isWildcard, self.floor > after else { return self.gaps }
        return [all(self.floor)] + self.gaps.filter { ($0.to ?? 0) > self.floor }
    }
}
