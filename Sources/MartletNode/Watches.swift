import MartletCore
import Synchronization

/// Those who wait for the next change of a delivery.
final class Watches: Sendable {
    private struct State {
        var next: UInt64 = 1
        var wakes: [UInt64: (targets: [InboxKey], wake: @Sendable () -> Void)] = [:]
        var byInbox: [InboxKey: Set<UInt64>] = [:]
    }

    private let state = Mutex(State())
    /// Whether there is any; read without the lock on the hot path.
    private let count = Atomic<Int>(0)

    func add(_ targets: [InboxKey], wake: @escaping @Sendable () -> Void) -> UInt64 {
        self.state.withLock { state in
            let id = state.next
            state.next += 1
            state.wakes[id] = (targets, wake)
            for target in targets { state.byInbox[target, default: []].insert(id) }
            self.count.store(state.wakes.count, ordering: .releasing)
            return id
        }
    }

    func remove(_ id: UInt64) {
        self.state.withLock { state in self.remove(id, from: &state) }
    }

    private func remove(_ id: UInt64, from state: inout sending State) {
        guard let (targets, _) = state.wakes.removeValue(forKey: id) else { return }
        for target in targets {
            state.byInbox[target]?.remove(id)
            if state.byInbox[target]?.isEmpty == true { state.byInbox[target] = nil }
        }
        self.count.store(state.wakes.count, ordering: .releasing)
    }

    /// Wakes those who watch one of these inboxes.
    func changed(_ inboxes: @autoclosure () -> [InboxKey]) {
        guard self.count.load(ordering: .acquiring) > 0 else { return }
        let inboxes = inboxes()
        let wakes = self.state.withLock { state in
            var ids: Set<UInt64> = []
            for inbox in inboxes { ids.formUnion(state.byInbox[inbox] ?? []) }
            let wakes = ids.compactMap { state.wakes[$0]?.wake }
            for id in ids { self.remove(id, from: &state) }
            return wakes
        }
        for wake in wakes { wake() }
    }
}
