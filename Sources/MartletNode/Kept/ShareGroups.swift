import MartletCore
import NIOCore
import Synchronization

/// The groups that have members here.
final class ShareGroups: Sendable {
    private struct Entry {
        var group: ShareGroup
        var members: Set<UInt64> = []
    }

    private let groups = Mutex<[DeviceKey: Entry]>([:])

    /// - Parameter shards: of which one is the group's home, by its name.
    func join(_ key: DeviceKey, _ filter: TopicFilter, _ member: ShareGroup.Member, room: Int, isKept: Bool, shards: [Shard]) {
        self.groups.withLock { groups in
            var entry =
                groups[key]
                ?? Entry(group: ShareGroup(key: key, filter: filter, shard: shards[Int(shortHash(key.name)) % shards.count]))
            entry.members.insert(member.id)
            groups[key] = entry
            let group = entry.group
            // Within the lock, so that comings and goings of one name keep their order.
            group.shard.loop.execute { group.join(member, room: room, isKept: isKept) }
        }
    }

    /// - Parameter body: called on the group's loop, after what was asked of it before.
    func fence(_ key: DeviceKey, _ body: @escaping @Sendable () -> Void) {
        guard let group = self.groups.withLock({ $0[key]?.group }) else { return body() }
        group.shard.loop.execute(body)
    }

    func hasMembers(_ key: DeviceKey) -> Bool { self.groups.withLock { $0[key] != nil } }

    func leave(_ key: DeviceKey, _ member: UInt64) {
        self.groups.withLock { groups in
            guard var entry = groups[key], entry.members.remove(member) != nil else { return }
            groups[key] = entry.members.isEmpty ? nil : entry
            let group = entry.group
            group.shard.loop.execute { group.leave(member) }
        }
    }
}
