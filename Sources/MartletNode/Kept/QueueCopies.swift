import MartletCore
import MartletWire
import Synchronization

/// Which message in a queue is a copy of which of a durable topic, so that one that is taken back is taken back there too.
///
/// Of the newest, since the start.
final class QueueCopies: Sendable {
    private struct State {
        var copies: [MessageID: MessageID] = [:]
        /// Originals, oldest first; a ring.
        var order: [MessageID] = []
        var next = 0
    }

    private let state = Mutex(State())

    /// Copies that are remembered.
    private static let limit = 100_000

    func add(_ copy: MessageID, of original: MessageID) {
        self.state.withLock { state in
            if state.order.count < Self.limit {
                state.order.append(original)
            } else {
                state.copies[state.order[state.next]] = nil
                state.order[state.next] = original
                state.next = (state.next + 1) % Self.limit
            }
            state.copies[original] = copy
        }
    }

    func copy(of original: MessageID) -> MessageID? { self.state.withLock { $0.copies[original] } }
}
