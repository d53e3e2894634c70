import MartletWire

/// What is left of a session's ``RetainedFeeds`` when its connection ends, for its record.
///
/// **Shape.** Of a subscription: NUL, the digit of the log that is read, its filter, NUL, the topic up to which it came, NUL, and with commas
/// between: its group, and its ends (epoch, memory, durable, late). Of one that its group has finished: NUL, `f`, its filter. Of a topic whose
/// value the subscription before has sent: NUL, `e`, its name. Anything else is a topic whose value is to be sent. No name has a NUL.
package enum RetainedRest: Equatable, Sendable {
    /// The value of a topic.
    case topic(String)
    /// A subscription of the group that goes on next has sent everything.
    case finished(String)
    case feed(filter: String, log: TopicLogKind, after: String?, group: UInt32, ends: TopicSubscriptions.Ends?)
    /// The feed before it has sent the value of a topic before its turn.
    case early(String)

    /// - Returns: nil if it is damaged.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: 0, omittingEmptySubsequences: false)
        guard parts.count > 1, parts[0].isEmpty, let first = parts[1].first else {
            guard parts.count == 1, !text.isEmpty else { return nil }
            self = .topic(text)
            return
        }
        let name = String(Substring(parts[1].dropFirst()))
        switch (first, parts.count) {
        case (UInt8(ascii: "f"), 2): self = .finished(name)
        case (UInt8(ascii: "e"), 2): self = .early(name)
        case (_, 3...4):
            guard let log = TopicLogKind(rawValue: first &- UInt8(ascii: "0")) else { return nil }
            let after = parts[2].isEmpty ? nil : String(Substring(parts[2]))
            // Those of before have neither a group nor ends.
            guard parts.count == 4 else {
                self = .feed(filter: name, log: log, after: after, group: 0, ends: nil)
                return
            }
            let numbers = parts[3].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).compactMap { UInt64(Substring($0)) }
            guard numbers.count == 5 else { return nil }
            let ends = TopicSubscriptions.Ends(
                memoryEpoch: UInt32(truncatingIfNeeded: numbers[1]), memory: numbers[2], durable: numbers[3],
                lateUpTo: Int64(truncatingIfNeeded: numbers[4]))
            self = .feed(filter: name, log: log, after: after, group: UInt32(truncatingIfNeeded: numbers[0]), ends: ends)
        default: return nil
        }
    }

    package var text: String {
        switch self {
        case .topic(let name): return name
        case .finished(let filter): return "\u{0}f\(filter)"
        case .early(let name): return "\u{0}e\(name)"
        case .feed(let filter, let log, let after, let group, let ends):
            let head = "\u{0}\(log.rawValue)\(filter)\u{0}\(after ?? "")"
            guard let ends else { return head }
            return "\(head)\u{0}\(group),\(ends.memoryEpoch),\(ends.memory),\(ends.durable),\(UInt64(bitPattern: ends.lateUpTo))"
        }
    }
}

extension RetainedFeeds {
    /// What is left to be sent, for a record, in the order in which it is sent.
    ///
    /// - Parameter isWanted: by the subscription.
    package func rest(_ isWanted: (TopicFilter) -> Bool) -> [RetainedRest] {
        var rest: [RetainedRest] = []
        if let first = self.all.first, isWanted(first.filter) { rest = self.finished.map { .finished($0.text) } }
        for feed in self.all where isWanted(feed.filter) {
            guard feed.values == feed.filter else {
                rest.append(.topic(feed.values.text))
                continue
            }
            rest.append(.feed(filter: feed.filter.text, log: feed.log, after: feed.after, group: feed.group, ends: feed.ends))
            rest += feed.early.map { .early($0) }
        }
        return rest
    }

    /// One that began together with the next has sent everything.
    package mutating func finish(_ filter: TopicFilter) { if self.all.isEmpty { self.finished.append(filter) } }
}
