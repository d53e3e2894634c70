package import MartletCore

// TEMPORARY until the node has topics.
extension Node: TopicDesk {
    package func options(of topic: TopicKey) -> TopicOptions { TopicOptions() }
    package func history(_ request: TopicReadRequest, done: @escaping @Sendable (Result<TopicSlice, StoreError>) -> Void) {
        done(.failure(StoreError(.stopped)))
    }
    package func retained(_ topic: TopicKey, done: @escaping @Sendable (Result<StoredMessage?, StoreError>) -> Void) { done(.success(nil)) }
    package func info(_ topic: TopicKey, done: @escaping @Sendable (Result<TopicInfo, StoreError>) -> Void) {
        done(.failure(StoreError(.stopped)))
    }
    package func presence(_ topic: TopicKey, limit: Int, after: PresenceMember?) -> PresencePage {
        PresencePage(members: [], count: 0, next: nil)
    }
}
