/// Says whether anybody is there to hear: for what is fetched only while somebody wants it.
///
/// The callbacks of both `watch…` carry no answer, because two of them may overtake each other: ask again in them. They are called on
/// any thread, with nothing locked, and must return quickly.
package protocol Audience: Sendable {
    /// Whether the topic has a live subscriber here, by its name or by a filter that matches it.
    func hasSubscribers(_ topic: TopicKey) -> Bool

    /// Whether the user has a live session here.
    func isPresent(_ user: String, in app: AppID) -> Bool

    /// From now on `body` is called whenever ``hasSubscribers(_:)`` of the topic may have changed.
    func watchSubscribers(of topic: TopicKey, _ body: @escaping @Sendable () -> Void)

    /// From now on `body` is called whenever ``isPresent(_:in:)`` of a user of the app may have changed.
    func watchUsers(in app: AppID, _ body: @escaping @Sendable (_ user: String) -> Void)
}
