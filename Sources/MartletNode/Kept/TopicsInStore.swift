import MartletCore
import Synchronization

/// Topics of which messages go through the store before they go to who is there.
///
/// What is published to them meanwhile goes the same way, though nobody may wait for it any more: it must not overtake them.
final class TopicsInStore: Sendable {
    private let counts = Mutex<[TopicKey: Int]>([:])
    /// Of all topics; read without the lock.
    private let total = Atomic<Int>(0)

    func add(_ topic: TopicKey) {
        self.total.wrappingAdd(1, ordering: .relaxed)
        self.counts.withLock { $0[topic, default: 0] += 1 }
    }

    func remove(_ topic: TopicKey) {
        self.counts.withLock { counts in
            guard let count = counts[topic] else { return }
            counts[topic] = count > 1 ? count - 1 : nil
        }
        self.total.wrappingSubtract(1, ordering: .relaxed)
    }

    var isEmpty: Bool { self.total.load(ordering: .relaxed) == 0 }

    func has(_ topic: TopicKey) -> Bool { self.total.load(ordering: .relaxed) > 0 && self.counts.withLock { $0[topic] != nil } }
}
