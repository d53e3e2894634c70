import MartletWire

/// The members that a message may have.
enum PublishMember: UInt8, CaseIterable {
    case to, type, data, dataBase64, contentType, notification, priority, ttl, collapseKey, idempotencyKey, retain, at, ladder

    /// What `to` may hold.
    static let targets = ["user", "users", "device", "devices", "topic", "all"]
    /// What it may hold one day.
    static let laterTargets = ["audience", "segment"]

    init?(_ key: JSONValue) {
        // Told apart by length first: this runs for every member of every message.
        let match: PublishMember? =
            switch key.raw.count - 2 {
            case 2: key.equals("to") ? .to : .at
            case 3: .ttl
            case 4: key.equals("data") ? .data : .type
            case 6: key.equals("retain") ? .retain : .ladder
            case 8: .priority
            case 10: .dataBase64
            case 11: key.equals("collapseKey") ? .collapseKey : .contentType
            case 12: .notification
            case 14: .idempotencyKey
            default: nil
            }
        if let match, key.equals(match.text) {
            self = match
        } else if key.plainString == nil, let name = key.string,
            let member = Self.allCases.first(where: { $0.name == name })
        {
            self = member
        } else {
            return nil
        }
    }

    var name: String { self.text.description }

    private var text: StaticString {
        switch self {
        case .to: "to"
        case .type: "type"
        case .data: "data"
        case .dataBase64: "dataBase64"
        case .contentType: "contentType"
        case .notification: "notification"
        case .priority: "priority"
        case .ttl: "ttl"
        case .collapseKey: "collapseKey"
        case .idempotencyKey: "idempotencyKey"
        case .retain: "retain"
        case .at: "at"
        case .ladder: "ladder"
        }
    }

    /// The refusal of a member that a message cannot have.
    static func unknown(_ key: JSONValue) -> WireError {
        let name = key.string ?? ""
        if Self.targets.contains(name) || Self.laterTargets.contains(name) {
            return WireError(.badRequest, "\"\(name)\" belongs into \"to\": {\"to\":{\"\(name)\":…}}.")
        }
        return WireError(
            .badRequest,
            "The message has an unknown member \(NameHint.quoted(name))\(NameHint.hint(name, Self.allCases.map(\.name))).")
    }
}
