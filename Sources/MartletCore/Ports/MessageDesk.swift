package import MartletWire

/// What a back end can do, on any transport: publish, take back, ask.
///
/// Completions are called on any thread and must return quickly.
package protocol MessageDesk: Sendable {
    /// Whether the server is going down: publishes are answered `draining`.
    var isDraining: Bool { get }

    /// Stores messages; see ``LogStore/append(_:done:)``.
    func publish(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void)

    /// Takes a message back. When `done` is called, no session of this node sends it any more.
    func recall(_ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void)

    /// What became of a message, live sessions included.
    ///
    /// - Parameters:
    ///   - limit: devices listed at most.
    ///   - after: the device's name to go on after; nil for the first page.
    func status(
        _ id: MessageID, app: AppID, limit: Int, after: String?,
        done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void)

    /// Calls `wake` once, at the next change of a delivery to one of these inboxes, on any thread.
    ///
    /// - Returns: a number for ``unwatch(_:)``.
    func watch(_ targets: [InboxKey], wake: @escaping @Sendable () -> Void) -> UInt64

    /// Forgets a watch. Harmless if it woke already.
    func unwatch(_ watch: UInt64)
}
