import MartletCore
import MartletWire
import Synchronization

/// Knows which shards have receivers of an inbox, and which session holds a device. Shared by all shards.
final class Registry: Sendable {
    struct Claim {
        var shard: Shard
        var session: LiveSession
    }

    private struct State {
        /// By inbox, one bit for each shard that has a session reading it.
        var masks: [InboxKey: UInt64] = [:]
        var devices: [DeviceKey: Claim] = [:]
        /// Tags of sessions that others took over, newest last, and the same as a set.
        var takenOrder: [UInt32] = []
        var taken: Set<UInt32> = []
    }

    private let state = Mutex(State())
    private let watchers = Mutex<[(app: AppID, body: @Sendable (String) -> Void)]>([])

    /// Taken-over tags remembered.
    private static let takenLimit = 65_536

    /// A shard got its first session of an inbox.
    func add(_ inbox: InboxKey, shard: Int) {
        self.state.withLock { $0.masks[inbox, default: 0] |= 1 << UInt64(shard) }
        self.tell(inbox)
    }

    /// A shard lost its last session of an inbox.
    func remove(_ inbox: InboxKey, shard: Int) {
        self.state.withLock { state in
            guard let mask = state.masks[inbox] else { return }
            let rest = mask & ~(1 << UInt64(shard))
            state.masks[inbox] = rest == 0 ? nil : rest
        }
        self.tell(inbox)
    }

    /// Whether a session of any shard reads it.
    func hasReaders(_ inbox: InboxKey) -> Bool { self.state.withLock { $0.masks[inbox] != nil } }

    /// From now on `body` is called when the readers of a user's inbox may have come or gone.
    func watchUsers(in app: AppID, _ body: @escaping @Sendable (String) -> Void) { self.watchers.withLock { $0.append((app, body)) } }

    private func tell(_ inbox: InboxKey) {
        guard inbox.scope == .user else { return }
        for watcher in self.watchers.withLock({ $0 }) where watcher.app == inbox.app { watcher.body(inbox.name) }
    }

    /// Sorts commits by shard, so that each shard with receivers is woken once.
    func route(_ commits: [Commit], shards: Int) -> [[Commit]] {
        var routed = [[Commit]](repeating: [], count: shards)
        self.state.withLock { state in
            for commit in commits {
                var mask: UInt64 = 0
                switch commit {
                case .stored(_, let targets, _), .recalled(_, let targets):
                    for target in targets { mask |= state.masks[target] ?? 0 }
                case .published: break
                }
                while mask != 0 {
                    let shard = mask.trailingZeroBitCount
                    routed[shard].append(commit)
                    mask &= mask - 1
                }
            }
        }
        return routed
    }

    // MARK: Devices

    /// Gives a device to a session.
    ///
    /// - Parameter lineage: the tag that the new session's client presented; the session it names is continued, not taken over.
    /// - Returns: the session that held the device before.
    func claim(_ device: DeviceKey, for claim: Claim, lineage: UInt32?) -> Claim? {
        self.state.withLock { state in
            let previous = state.devices.updateValue(claim, forKey: device)
            if let previous, previous.session.tag != lineage {
                state.takenOrder.append(previous.session.tag)
                state.taken.insert(previous.session.tag)
                if state.takenOrder.count > Self.takenLimit {
                    for tag in state.takenOrder.prefix(Self.takenLimit / 2) { state.taken.remove(tag) }
                    state.takenOrder.removeFirst(Self.takenLimit / 2)
                }
            }
            return previous
        }
    }

    /// Gives a device to a session if no other has it, in one step.
    ///
    /// - Returns: who has it.
    func claimIfFree(_ device: DeviceKey, for claim: Claim) -> Claim? {
        self.state.withLock { state in
            if let holder = state.devices[device] { return holder }
            state.devices[device] = claim
            return nil
        }
    }

    func holder(of device: DeviceKey) -> Claim? { self.state.withLock { $0.devices[device] } }

    func release(_ device: DeviceKey, by session: LiveSession) {
        self.state.withLock { state in
            if state.devices[device]?.session === session { state.devices[device] = nil }
        }
    }

    func wasTakenOver(_ tag: UInt32) -> Bool { self.state.withLock { $0.taken.contains(tag) } }
}
