import MartletCore
import MartletWire

/// The retained values of subscriptions that begin.
extension LiveSession {
    struct FreshTopics {
        var filter: TopicFilter
        /// What is newer than the subscription comes as a message.
        var ends: TopicSubscriptions.Ends
        /// The subscription, where that goes by a name of its own.
        var slotFilter: TopicFilter?
    }

    /// What went out for filters that begin together and may match the same topic.
    private final class Sent {
        private var offsets: Set<UInt64> = []

        func insert(_ offset: UInt64, _ log: TopicLogKind) -> Bool { self.offsets.insert(offset << 1 | UInt64(log.rawValue)).inserted }
    }

    func sendRetained(_ fresh: [FreshTopics]) {
        let sent = fresh.count > 1 ? Sent() : nil
        for subscription in fresh {
            for log in self.node.retainedLogs(of: subscription.filter, in: self.app) { self.sendRetained(subscription, log, sent) }
        }
    }

    /// Asks again for what the store could not read.
    func retryRetained() {
        guard let topics = self.topics, !topics.unreadRetained.isEmpty else { return }
        let unread = topics.unreadRetained
        topics.unreadRetained = []
        let sent = Sent()
        for subscription in unread { self.sendRetained(subscription, .durable, sent) }
    }

    private func sendRetained(_ subscription: FreshTopics, _ log: TopicLogKind, _ sent: Sent?) {
        self.node.retained(subscription.filter, in: log, app: self.app, loop: self.shard.loop) { result in
            guard let client = self.client, let topics = self.topics,
                topics.subscriptions.slot(of: subscription.slotFilter ?? subscription.filter) != nil
            else { return }
            guard case .success(let entries) = result else {
                // A poll ends before the next heartbeat.
                guard self.transport != .poll else { return self.close(.storeUnavailable, retryAfterMs: self.pause) }
                topics.unreadRetained.append(subscription)
                return
            }
            let now = self.node.clock.now()
            for entry in entries where entry.message.offset <= subscription.ends[log] && !entry.message.isExpired(at: now) {
                if let book = self.book {
                    self.sendRetained(entry, for: subscription.filter, book)
                    continue
                }
                guard sent?.insert(entry.message.offset, log) ?? true else { continue }
                client.send(
                    TopicDelivery(
                        message: entry.message, isRetained: true, cursor: nil, isCursorShared: false, frames: SharedFrames()))
                self.shard.tally.sentTopic(on: self.transport)
            }
            guard !entries.isEmpty else { return }
            self.touch()
            self.shard.endTurn()
        }
    }
}
