package import MartletCore

extension MemoryLogStore {
    package func trim(_ topic: TopicKey, upTo offset: UInt64) {}
    package func save(_ sessions: [SessionSave], done: @escaping @Sendable (StoreError?) -> Void) { done(nil) }
    package func loadSessions(done: @escaping @Sendable (Result<[SessionRow], StoreError>) -> Void) { done(.success([])) }
}
