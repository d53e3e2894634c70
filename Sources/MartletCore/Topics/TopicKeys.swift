import MartletWire

/// Idempotency keys of what was published to topics in memory, per app; the oldest go first.
struct TopicKeys {
    private struct Row {
        var digest: [UInt8]
        var id: MessageID
        var expiresAt: Int64
    }

    private struct App {
        var rows: [ExactText: Row] = [:]
        // All live equally long, so the order in which they came is that in which they go.
        var order = TopicQueue<ExactText>()

        mutating func forget(now: Int64, limit: Int) {
            while let oldest = self.order.first, self.order.count > limit || (self.rows[oldest]?.expiresAt ?? 0) <= now {
                self.rows[oldest] = nil
                _ = self.order.popFirst()
            }
        }
    }

    private var apps: [AppID: App] = [:]

    enum Known {
        case same(MessageID)
        case other
    }

    func find(_ idempotency: AppendRequest.Idempotency, in app: AppID, now: Int64) -> Known? {
        guard let row = self.apps[app]?.rows[ExactText(idempotency.key)], row.expiresAt > now else { return nil }
        return row.digest == idempotency.digest ? .same(row.id) : .other
    }

    /// Remembers a key that ``find(_:in:now:)`` did not know.
    mutating func add(_ idempotency: AppendRequest.Idempotency, in app: AppID, id: MessageID, now: Int64, limits: Limits) {
        let name = ExactText(idempotency.key)
        let expiresAt = now + Int64(limits.idempotencySeconds) * 1_000
        self.apps[app, default: App()].forget(now: now, limit: max(0, limits.idempotencyEntries - 1))
        self.apps[app, default: App()].rows[name] = Row(digest: idempotency.digest, id: id, expiresAt: expiresAt)
        self.apps[app, default: App()].order.append(name)
    }

    mutating func forget(now: Int64) {
        for app in self.apps.keys {
            self.apps[app]?.forget(now: now, limit: .max)
            if self.apps[app]?.order.isEmpty == true { self.apps[app] = nil }
        }
    }
}
