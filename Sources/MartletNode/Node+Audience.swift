package import MartletCore

/// Who is there to hear, for what is fetched only while somebody wants it.
extension Node: Audience {
    package func hasSubscribers(_ topic: TopicKey) -> Bool { self.hub.hasSubscribers(topic) }

    package func isPresent(_ user: String, in app: AppID) -> Bool { self.registry.hasReaders(.user(user, in: app)) }

    package func watchSubscribers(of topic: TopicKey, _ body: @escaping @Sendable () -> Void) { self.hub.watch(topic, body) }

    package func watchUsers(in app: AppID, _ body: @escaping @Sendable (_ user: String) -> Void) {
        self.registry.watchUsers(in: app, body)
    }
}
