/// A session as it is while its client is away: what it subscribes to, how far it has come, and what is still to be done for it.
package struct KeptSession: Sendable {
    /// What the client asked for as ``SessionHandle/openInbox(windowMessages:acks:done:)``.
    package struct Inbox: Equatable, Sendable {
        package var windowMessages: Int
        package var acks: Bool

        package init(windowMessages: Int, acks: Bool) {
            self.windowMessages = windowMessages
            self.acks = acks
        }
    }

    package struct Subscription: Equatable, Sendable {
        /// As the client asked for it, not its queue.
        package var filter: TopicFilter
        package var options: SubscribeOptions
        /// Up to where it was sent everything that waits in the queues; of one with QoS 0, which gets nothing that was published while it
        /// was away, without meaning.
        package var position: UInt64
        /// After where it was sent all that, so that others that match the same need not: at most ``position``.
        package var from: UInt64

        /// While its client is there: it reads its queue though it has QoS 0 by now, because something of before is there. Not stored.
        package var staysQueued = false

        package init(filter: TopicFilter, options: SubscribeOptions, position: UInt64 = 0) {
            self.filter = filter
            self.options = options
            self.position = position
            self.from = position
        }

        /// Whether messages wait for it.
        package var isQueued: Bool { (self.options.qos > 0 || self.staysQueued) && QueueTopic.hasQueue(self.filter) }
    }

    /// A retained value that was sent and not received.
    package struct ValueInFlight: Equatable, Sendable {
        package var topic: String
        /// The filter of the subscription that brought it.
        package var filter: String

        package init(topic: String, filter: String) {
            self.topic = topic
            self.filter = filter
        }
    }

    package var key: DeviceKey
    /// Whose it is: for nobody else it goes on.
    package var user: String?
    /// How long it is kept after its connection, in seconds.
    package var expirySeconds: Int
    package var will: Will?
    package var inbox: Inbox?
    package var subscriptions: [Subscription] = []

    /// When its connection ended: Unix time in milliseconds; nil while it lives.
    package var endedAt: Int64?
    package var flights = Flights()
    /// What subscriptions were sent that have ended, as far as others that match the same have not come to it.
    package var ended: [TopicSubscriptions.Range] = []
    /// Retained values that are still to be sent: the texts of ``RetainedRest``.
    package var retainedAgain: [String] = []
    /// Retained values among the flights, by number.
    package var retainedNumbers: [UInt16: ValueInFlight] = [:]
    /// Names the history that offsets of values in memory are of.
    package var memoryEpoch: UInt32 = 0
    /// Numbers of the client's own publishes that it has not released.
    package var received: [UInt16] = []

    package init(key: DeviceKey, user: String?, expirySeconds: Int) {
        self.key = key
        self.user = user
        self.expirySeconds = expirySeconds
    }

    /// When it ends if its client stays away; Unix time in milliseconds, nil while it lives.
    package var expiresAt: Int64? { self.endedAt.map { $0 + Int64(self.expirySeconds) * 1_000 } }

    /// When its will is due, if its client stays away.
    package var willAt: Int64? {
        guard let endedAt = self.endedAt, let will = self.will else { return nil }
        return endedAt + Int64(min(will.delaySeconds, self.expirySeconds)) * 1_000
    }

    /// Up to where it needs nothing of a queue any more; nil if it has none of the topic.
    package func needless(of topic: String) -> UInt64? {
        var least: UInt64?
        for subscription in self.subscriptions where subscription.isQueued && subscription.filter.matches(topic) {
            least = min(least ?? .max, subscription.position)
        }
        guard let least else { return nil }
        return min(least, self.flights.oldest(in: .durable).map { $0 - 1 } ?? .max)
    }
}
