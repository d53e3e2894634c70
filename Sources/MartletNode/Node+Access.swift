package import MartletCore
package import MartletWire
import NIOCore
import Synchronization

/// What tokens and the back end do to live sessions.
extension Node {
    package func renew(
        session id: String, app: AppID, user: String, device: String?, expiresAtMs: Int64?, rights: TopicRights,
        done: @escaping @Sendable (WireError?) -> Void
    ) {
        let count = Count()
        let counter = PassCounter(last: self.shards.count) {
            done(count.value > 0 ? nil : WireError(.sessionUnknown, "No such session is live here: connect with the new token."))
        }
        for shard in self.shards {
            shard.loop.execute {
                for session in shard.sessions(of: .user(user, in: app))
                where session.id == id && (device == nil || isSameName(device, session.device)) {
                    session.renew(expiresAtMs: expiresAtMs, rights: rights)
                    count.add(1)
                }
                counter.pass()
            }
        }
    }

    package func disconnect(app: AppID, user: String, device: String?, done: @escaping @Sendable (Int) -> Void) {
        self.endSessions(of: user, device, app) { first in
            // A client that was let in just before may be on its way through its loop: it is there by the second round.
            self.endSessions(of: user, device, app) { second in done(first + second) }
        }
    }

    private func endSessions(
        of user: String, _ device: String?, _ app: AppID, done: @escaping @Sendable (Int) -> Void
    ) {
        let count = Count()
        let counter = PassCounter(last: self.shards.count) { done(count.value) }
        for shard in self.shards {
            shard.loop.execute {
                let sessions = shard.sessions(of: .user(user, in: app)).filter {
                    device == nil || isSameName(device, $0.device)
                }
                for session in sessions { session.close(.disconnected, retryAfterMs: nil) }
                count.add(sessions.count)
                counter.pass()
            }
        }
    }
}

/// Counts across loops.
final class Count: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { self.count.load(ordering: .acquiring) }
    func add(_ number: Int) { self.count.wrappingAdd(number, ordering: .acquiringAndReleasing) }
}
