import MartletCore
import MartletWire

/// What a publisher asked for, and what it was answered.
final class Publication {
    /// Travels in the message, so that it is known wherever it turns up.
    let number: Int
    let targets: [InboxKey]
    let priority: Priority
    let ttl: Int
    let collapseKey: String?
    let idempotencyKey: String?
    let padding: Int
    let submittedTick: Int
    let submittedNow: Int64
    var answeredTick: Int?
    var answeredNow: Int64?
    var id: MessageID?
    var wasRecallAsked = false
    var recalledTick: Int?

    init(
        number: Int, targets: [InboxKey], priority: Priority, ttl: Int, collapseKey: String?, idempotencyKey: String?,
        padding: Int, tick: Int, now: Int64
    ) {
        self.number = number
        self.targets = targets
        self.priority = priority
        self.ttl = ttl
        self.collapseKey = collapseKey
        self.idempotencyKey = idempotencyKey
        self.padding = padding
        self.submittedTick = tick
        self.submittedNow = now
    }

    var request: AppendRequest {
        let members = Array("\"n\":\(self.number),\"p\":\"".utf8) + [UInt8](repeating: 0x78, count: self.padding) + [0x22]
        return AppendRequest(
            app: .dev, targets: self.targets, priority: self.priority, ttl: self.ttl, collapseKey: self.collapseKey,
            idempotency: self.idempotencyKey.map { .init(key: $0, digest: [UInt8(truncatingIfNeeded: self.number)]) },
            members: members)
    }

    /// The number that a message carries; -1 if none.
    static func number(in fragment: [UInt8]) -> Int {
        var index = 44
        while index + 4 < fragment.count {
            if fragment[index] == 0x22, fragment[index + 1] == 0x6e, fragment[index + 2] == 0x22 {
                var number = 0
                index += 4
                while index < fragment.count, fragment[index] >= 0x30, fragment[index] <= 0x39 {
                    number = number * 10 + Int(fragment[index] - 0x30)
                    index += 1
                }
                return number
            }
            index += 1
        }
        return -1
    }

    /// The inbox through which a reader sees it.
    func inbox(user: String?, device: String?) -> InboxKey? {
        self.targets.first { target in
            switch target.scope {
            case .user: target.name == user
            case .device: target.name == device
            case .app: true
            }
        }
    }

    /// Whether it has the collapse key of another, in this inbox, and may be newer.
    func mayReplace(_ other: Publication, in inbox: InboxKey) -> Bool {
        guard self !== other, let key = self.collapseKey, key == other.collapseKey, self.targets.contains(inbox) else { return false }
        guard let own = self.id, let others = other.id else { return true }
        return own > others
    }
}
