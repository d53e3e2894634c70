import MartletWire

/// The members that a message may have.
enum PublishMember: UInt8, CaseIterable {
    case to, type, data, dataBase64, contentType, notification, priority, ttl, collapseKey, idempotencyKey, at, ladder

    /// What `to` may hold.
    static let targets = ["user", "users", "device", "devices", "all", "topic", "audience", "segment"]

    init?(_ key: JSONValue) {
        // Told apart by length first: this runs for every member of every message.
        let match: PublishMember? =
            switch key.raw.count - 2 {
            case 2: key.equals("to") ? .to : .at
            case 3: .ttl
            case 4: key.equals("data") ? .data : .type
            case 6: .ladder
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
        case .at: "at"
        case .ladder: "ladder"
        }
    }

    /// The refusal of a member that a message cannot have.
    static func unknown(_ key: JSONValue) -> WireError {
        let name = key.string ?? ""
        if Self.targets.contains(name) {
            return WireError(.badRequest, "\"\(name)\" belongs into \"to\": {\"to\":{\"\(name)\":…}}.")
        }
        return WireError(
            .badRequest,
            "The message has an unknown member \(Self.quoted(name))\(Self.hint(name, Self.allCases.map(\.name))).")
    }

    /// At most 40 characters of what somebody sent.
    static func quoted(_ name: String) -> String {
        "\"" + String(String.UnicodeScalarView(name.unicodeScalars.prefix(40)))
            + (name.unicodeScalars.count > 40 ? "…\"" : "\"")
    }

    /// `; perhaps "x" is meant` if a known name is near, otherwise which ones there are. As the end of a sentence.
    static func hint(_ name: String, _ known: [String]) -> String {
        let plain = Self.folded(name)
        if plain.count <= 24 {
            let near = known.map { ($0, Self.distance(plain, Self.folded($0))) }.min { $0.1 < $1.1 }
            if let near, near.1 <= max(1, near.0.utf8.count / 3) { return "; perhaps \"\(near.0)\" is meant" }
        }
        return ": there are " + known.joined(separator: ", ")
    }

    /// Without case, dashes and underscores.
    private static func folded(_ name: String) -> [UInt8] {
        name.utf8.filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }.map {
            $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") ? $0 + 32 : $0
        }
    }

    /// How many bytes must be inserted, deleted, replaced or swapped with their neighbour.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var before: [Int] = []
        var previous = Array(0...right.count)
        for (row, a) in left.enumerated() {
            var current = [row + 1]
            for (column, b) in right.enumerated() {
                var cost = min(previous[column] + (a == b ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, a == right[column - 1], left[row - 1] == b {
                    cost = min(cost, before[column - 1] + 1)
                }
                current.append(cost)
            }
            (before, previous) = (previous, current)
        }
        return previous.last ?? left.count
    }
}
