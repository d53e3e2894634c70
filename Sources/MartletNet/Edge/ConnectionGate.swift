package import Logging
package import MartletCore
import NIOCore
import Synchronization

/// Counts the open connections, in total and per address, and says no before the process runs out of descriptors.
///
/// Shared by all loops. The table of addresses holds only those with open connections.
package final class ConnectionGate: Sendable {
    /// Connections that may be open.
    package let limit: Int
    /// Open connections of one address; 0 is any number.
    let perAddress: Int
    private let logger: Logger
    private let open = Atomic<Int>(0)
    private let addresses = Mutex<[ClientAddress: Int]>([:])
    /// Refused connections that still get to read why.
    private let lingering = Atomic<Int>(0)
    private let refusals = Mutex(Refusals())

    private struct Refusals {
        var unsaid = 0
        var saidAt: NIODeadline?
    }

    /// Refused connections that may be open for a moment at the same time; others are closed without a word.
    private static let lingeringLimit = 64
    /// Time between two lines of the log about refusals.
    private static let logInterval = TimeAmount.seconds(10)

    /// - Parameter openFiles: what the process may have open (`RLIMIT_NOFILE`).
    package init(limits: Limits, openFiles: Int, logger: Logger) {
        let most = max(1, openFiles - limits.reservedFiles)
        self.limit = limits.connections > 0 ? min(limits.connections, most) : most
        self.perAddress = limits.connectionsPerAddress
        self.logger = logger
    }

    /// Open connections.
    package var count: Int { self.open.load(ordering: .relaxed) }

    /// Whether so many are open that a balancer should send new ones elsewhere: from 98 in 100 of the limit.
    package var isNearlyFull: Bool { self.count >= self.limit - self.limit / 50 }

    /// - Returns: whether there is room. If so, ``leave()`` must follow.
    package func enter() -> Bool {
        if self.open.wrappingAdd(1, ordering: .relaxed).newValue <= self.limit { return true }
        self.open.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    package func leave() { self.open.wrappingSubtract(1, ordering: .relaxed) }

    /// - Returns: whether the address may have one more. If so, ``leave(_:)`` must follow.
    func enter(_ address: ClientAddress) -> Bool {
        guard self.perAddress > 0 else { return true }
        return self.addresses.withLock { addresses in
            let count = addresses[address.counted, default: 0]
            guard count < self.perAddress else { return false }
            addresses[address.counted] = count + 1
            return true
        }
    }

    func leave(_ address: ClientAddress) {
        guard self.perAddress > 0 else { return }
        self.addresses.withLock { addresses in
            guard let count = addresses[address.counted] else { return }
            addresses[address.counted] = count > 1 ? count - 1 : nil
        }
    }

    // MARK: Refusing

    /// - Returns: whether a refused connection may stay for a moment. If so, ``lingered()`` must follow.
    func linger() -> Bool {
        if self.lingering.wrappingAdd(1, ordering: .relaxed).newValue <= Self.lingeringLimit { return true }
        self.lingering.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    func lingered() { self.lingering.wrappingSubtract(1, ordering: .relaxed) }

    /// Logs refusals: the first at once, then how many there were, every ten seconds.
    package func refused(_ address: ClientAddress?, why: String) {
        let now = NIODeadline.now()
        let count: Int? = self.refusals.withLock { refusals in
            refusals.unsaid += 1
            if let saidAt = refusals.saidAt, now - saidAt < Self.logInterval { return nil }
            defer { refusals.unsaid = 0 }
            refusals.saidAt = now
            return refusals.unsaid
        }
        guard let count else { return }
        self.logger.warning(
            "connections refused",
            metadata: [
                "why": "\(why)", "count": "\(count)", "last": "\(address?.description ?? "?")", "open": "\(self.count)",
                "limit": "\(self.limit)",
            ])
    }
}
