import MartletCore
import MartletWire

/// What waits in queues, and for whom.
extension KeptSessions {
    /// Whether messages of a topic wait for somebody.
    func wants(_ topic: TopicKey) -> Bool {
        guard self.hasQueues else { return false }
        return self.withLock { state in
            var isWanted = false
            state.interests[topic.app]?.visit(topic.name) { _ in isWanted = true }
            return isWanted && QueueTopic.hasQueue(TopicFilter(topic: topic.name))
        }
    }

    /// A message waits in the queue of a topic.
    func queued(_ topic: TopicKey, offset: UInt64) {
        self.withLock { $0.queues.queued(topic, offset: offset) }
    }

    /// Queues of which something is needed by nobody any more, and up to where; with very many sessions some of them, the others with the
    /// next calls. To be called every second or so.
    func takeNeedless() -> [(topic: TopicKey, upTo: UInt64)] {
        self.withLock { $0.queues.begin() }
        var asked = 0
        var result: [(topic: TopicKey, upTo: UInt64)] = []
        while asked < NeedlessSearch.callMost {
            let (found, isMore) = self.withLock { state in
                var found: [(topic: TopicKey, upTo: UInt64)] = []
                var queues = NeedlessSearch()
                swap(&queues, &state.queues)
                let isMore = queues.part(
                    &asked,
                    readers: { topic in
                        var keys: [DeviceKey] = []
                        state.interests[topic.app]?.visit(topic.name) { keys += $0 }
                        return keys
                    }, needless: { key, topic in state.entries[key]?.session.needless(of: topic.name) }, found: { found.append(($0, $1)) })
                swap(&queues, &state.queues)
                return (found, isMore)
            }
            result += found
            guard isMore else { break }
        }
        return result
    }

    // MARK: Groups

    /// The record of a group, which is made if there is none.
    ///
    /// - Parameter position: where a new one begins.
    /// - Returns: the record, and whether it is new.
    func group(_ key: DeviceKey, _ filter: TopicFilter, position: UInt64) -> (session: KeptSession, isNew: Bool) {
        self.withLock { state in
            if let entry = state.entries[key] { return (entry.session, false) }
            var session = KeptSession(key: key, user: nil, expirySeconds: 0)
            session.subscriptions = [.init(filter: filter, options: SubscribeOptions(qos: 1), position: position)]
            self.insert(session, holder: 0, &state)
            return (session, true)
        }
    }

    /// A group's record goes when nobody is there, unless a kept session belongs to it by then.
    func dropIfNobodys(_ group: DeviceKey) {
        self.withLock { _ = $0.emptied.insert(group) }
    }

    /// A group has come further.
    ///
    /// - Parameters:
    ///   - position: up to where it has read; nil if it has not read on.
    ///   - unacked: the offsets of what it has read and nobody has acked, ascending.
    /// - Returns: its record; nil if it is over.
    func move(_ group: DeviceKey, to position: UInt64?, unacked: [UInt64]) -> KeptSession? {
        self.withLock { state in
            guard var entry = state.entries[group], !entry.session.subscriptions.isEmpty else { return nil }
            var position = position ?? entry.session.subscriptions[0].position
            // What is too much to be remembered is read once more.
            if unacked.count > Flights.most { position = min(position, unacked[Flights.most] - 1) }
            entry.session.subscriptions[0].position = position
            entry.session.subscriptions[0].from = position
            entry.session.flights = Flights(
                all: zip(UInt16(1)..., unacked.prefix(Flights.most)).map { .init(number: $0, step: .sent, log: .durable, offset: $1) })
            state.entries[group] = entry
            state.queues.isMoved = true
            return entry.session
        }
    }
}

/// Names the record of a group that shares a subscription; no client can have the name.
enum ShareName {
    private static let prefix = "\u{1}share/"

    static func key(_ share: String, _ filter: TopicFilter, _ app: AppID) -> DeviceKey {
        DeviceKey(app: app, name: self.prefix + share + "/" + filter.text)
    }

    static func isGroup(_ name: String) -> Bool { name.utf8.starts(with: self.prefix.utf8) }
}
