/// What subscriptions say of how they want their messages, for clients that say it (MQTT).
extension TopicSubscriptions {
    /// How one message goes to a session.
    package struct Grant: Sendable {
        package var qos: UInt8
        package var retainAsPublished: Bool
        package var identifier: UInt32
        package var moreIdentifiers: [UInt32] = []

        package init(qos: UInt8, retainAsPublished: Bool, identifier: UInt32) {
            self.qos = qos
            self.retainAsPublished = retainAsPublished
            self.identifier = identifier
        }
    }

    package func options(_ slot: Slot) -> SubscribeOptions? {
        self.slots.indices.contains(slot) && self.slots[slot].isUsed ? self.slots[slot].options : nil
    }

    /// From now on the subscription wants its messages another way.
    package mutating func change(_ slot: Slot, to options: SubscribeOptions) {
        if self.slots.indices.contains(slot), self.slots[slot].isUsed { self.slots[slot].options = options }
    }

    /// How a message goes out that a subscription matches: as the most demanding of those that match it says, because it goes out once.
    ///
    /// - Parameters:
    ///   - topic: as it is announced.
    ///   - origin: names the session's own client.
    /// - Returns: nil if all of them leave it out: it is the client's own.
    package func grant(_ slot: Slot, _ topic: String, _ marks: MessageMarks, origin: UInt32) -> Grant? {
        guard self.slots.indices.contains(slot) else { return nil }
        let isOwn = marks.origin != 0 && marks.origin == origin
        var grant: Grant?
        Self.add(self.slots[slot].options, isOwn, to: &grant)
        for other in self.slots[slot].neighbours where self.slots[Int(other)].filter.matches(topic) {
            Self.add(self.slots[Int(other)].options, isOwn, to: &grant)
        }
        guard var grant else { return nil }
        grant.qos = min(grant.qos, marks.qos)
        return grant
    }

    private static func add(_ options: SubscribeOptions, _ isOwn: Bool, to grant: inout Grant?) {
        guard !isOwn || !options.noLocal else { return }
        guard var all = grant else {
            grant = Grant(qos: options.qos, retainAsPublished: options.retainAsPublished, identifier: options.identifier)
            return
        }
        all.qos = max(all.qos, options.qos)
        all.retainAsPublished = all.retainAsPublished || options.retainAsPublished
        if all.identifier == 0 {
            all.identifier = options.identifier
        } else if options.identifier != 0 {
            all.moreIdentifiers.append(options.identifier)
        }
        grant = all
    }

    /// Up to where a subscription was sent everything of the durable log.
    package func durablePosition(_ slot: Slot) -> UInt64 {
        guard self.slots.indices.contains(slot) else { return 0 }
        let feed = self.slots[slot].feeds[Int(TopicLogKind.durable.rawValue)]
        // While it looks for where it begins it has nothing yet.
        return feed.isBehind ? feed.position : max(feed.position, self.reached.durable)
    }
}
