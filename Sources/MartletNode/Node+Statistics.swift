package import MartletCore

extension Node {
    /// Tells those who subscribe to it a figure of the server's own; kept as the topic's retained value. It counts as nobody's publish.
    ///
    /// - Parameters:
    ///   - topic: begins with `$SYS/`.
    ///   - members: of the JSON object that subscribers see, `topic` and `data`.
    package func tell(_ topic: TopicKey, members: [UInt8]) {
        let request = AppendRequest(
            app: topic.app, targets: [], ttl: self.limits.ttlMaxSeconds, topic: TopicAppend(name: topic.name, retain: .set), members: members)
        let published = self.hub.publish(
            request, to: topic, options: TopicOptions(), now: self.clock.now(), at: self.clock.wall(), random: self.clock.random())
        self.wake(published.wake)
    }

    /// Sessions that are kept while their clients are away, live ones included.
    package var keptSessions: Int { self.kept.clients }
}
