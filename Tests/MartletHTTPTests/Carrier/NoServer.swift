import MartletCore
import MartletWire

/// What stands behind HTTP, where no test comes to it.
struct NoServer: SessionGateway, MessageDesk, TopicDesk, NamespaceDesk, Gatekeeper {
    private static let none = WireError(.internalError, "There is nothing here.")

    // MARK: Sessions

    final class NoSession: SessionHandle {
        func ack(_ ack: SeqAck) {}
        func ack(_ cursor: Cursor) {}
        func renew(app: AppID, user: String?, device: String?, expiresAtMs: Int64?, rights: TopicRights) {}
        func subscribe(_ wishes: [SubscribeWish]) {}
        func unsubscribe(_ filters: [TopicFilter]) {}
        func publish(_ request: AppendRequest, done: @escaping @Sendable (AppendOutcome) -> Void) {}

        func subscribe(_ wishes: [SubscribeWish], done: @escaping (WireError?) -> Void) { done(NoServer.none) }
        func unsubscribe(_ all: [(filter: TopicFilter, share: String?)], done: @escaping ([Bool]) -> Void) { done(all.map { _ in false }) }
        func openInbox(windowMessages: Int, acks: Bool, done: @escaping (WireError?) -> Void) { done(NoServer.none) }
        func closeInbox() -> Bool { false }
        func acked(number: UInt16) -> Bool { false }
        func completed(number: UInt16) -> Bool { false }
        func received(number: UInt16, isRefused: Bool) -> Bool { false }
        func ready(_ request: AppendRequest, number: UInt16?) -> AppendRequest? { nil }
        func publishReady(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) { done([]) }
        func forget(number: UInt16) {}
        func release(number: UInt16, done: @escaping @Sendable (Bool?) -> Void) { done(nil) }
        func leaves(withWill: Bool, expirySeconds: Int?, done: @escaping () -> Void) { done() }

        func socketTook() {}
        func heard() {}
        func clientClosed() {}
    }

    func open(_ hello: Hello, client: any LiveClient, shard: Int) -> any SessionHandle {
        client.refused(Self.none)
        return NoSession()
    }

    func mayPublish(_ topic: String, app: AppID, rights: TopicRights) -> Bool { false }

    func ack(_ cursor: Cursor, app: AppID, user: String?, device: String, done: @escaping @Sendable (WireError?) -> Void) { done(Self.none) }

    func ack(
        _ ack: SeqAck, session: String, app: AppID, user: String?, device: String?, done: @escaping @Sendable (WireError?) -> Void
    ) { done(Self.none) }

    func renew(
        session: String, app: AppID, user: String, device: String?, expiresAtMs: Int64?, rights: TopicRights,
        done: @escaping @Sendable (WireError?) -> Void
    ) { done(Self.none) }

    func disconnect(app: AppID, user: String, device: String?, done: @escaping @Sendable (Int) -> Void) { done(0) }

    func ack(ramen seq: UInt64, app: AppID, user: String?, device: String, done: @escaping @Sendable (WireError?) -> Void) { done(Self.none) }

    // MARK: Messages and topics

    var isDraining: Bool { false }

    func publish(_ requests: [AppendRequest], done: @escaping @Sendable ([AppendOutcome]) -> Void) { done([]) }

    func recall(_ id: MessageID, app: AppID, done: @escaping @Sendable (Result<RecallOutcome?, StoreError>) -> Void) { done(.success(nil)) }

    func status(
        _ id: MessageID, app: AppID, limit: Int, after: String?, done: @escaping @Sendable (Result<MessageStatus?, StoreError>) -> Void
    ) { done(.success(nil)) }

    func watch(_ targets: [InboxKey], wake: @escaping @Sendable () -> Void) -> UInt64 { 0 }

    func unwatch(_ watch: UInt64) {}

    func options(of topic: TopicKey) -> TopicOptions { TopicOptions() }

    func history(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void) {}

    func retained(_ topic: TopicKey, done: @escaping @Sendable (Result<StoredMessage?, StoreError>) -> Void) { done(.success(nil)) }

    func info(_ topic: TopicKey, done: @escaping @Sendable (Result<TopicInfo, StoreError>) -> Void) {
        done(.success(TopicInfo(subscribers: 0, options: TopicOptions(), log: nil, hasRetained: false)))
    }

    func presence(_ topic: TopicKey, limit: Int, after: PresenceMember?) -> PresencePage { PresencePage(members: [], count: 0, next: nil) }

    // MARK: Namespaces

    var defaults: TopicOptions { TopicOptions() }

    func options(of topic: String, in app: AppID) -> TopicOptions { TopicOptions() }

    func namespaces(in app: AppID) -> [NamespaceInfo] { [] }

    func namespace(_ name: String, in app: AppID) -> NamespaceInfo {
        NamespaceInfo(name: name, options: TopicOptions(), change: nil, isConfigured: false)
    }

    func setNamespace(_ name: String, in app: AppID, to change: TopicOptionsChange?, done: @escaping @Sendable (StoreError?) -> Void) { done(nil) }

    // MARK: Keys

    func key(_ secret: String) -> Result<KeyGrant, WireError> { .failure(Self.none) }

    func token(_ text: String, done: @escaping @Sendable (Result<TokenGrant, WireError>) -> Void) { done(.failure(Self.none)) }

    func isRevoked(_ grant: TokenGrant) -> Bool { false }

    func hasEnded(_ grant: KeyGrant) -> Bool { true }
    func revoke(app: AppID, user: String, device: String?, beforeMs: Int64, done: @escaping @Sendable (WireError?) -> Void) { done(Self.none) }
}
