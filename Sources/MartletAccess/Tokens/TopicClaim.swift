import MartletCore
import MartletWire

/// The claim `topics`, as it stands in a token: `{"news/#":["subscribe"],"chat/+/alice":["subscribe","publish"]}`, or a list of patterns
/// that may be subscribed to. Nothing in it is believed yet.
struct TopicClaim: Equatable, Sendable {
    private(set) var rules: [(pattern: String, actions: TopicRights.Actions)] = []

    static func == (left: TopicClaim, right: TopicClaim) -> Bool {
        left.rules.elementsEqual(right.rules) { isSameName($0.pattern, $1.pattern) && $0.actions == $1.actions }
    }

    /// - Throws: `unauthorized`.
    init(_ value: JSONValue) throws(WireError) {
        switch value.kind {
        case .array:
            for element in value.elements {
                guard let pattern = element.string else { throw Self.shape }
                self.rules.append((pattern, .subscribe))
            }
        case .object:
            for (key, value) in value.members {
                guard let pattern = key.string, value.kind == .array else { throw Self.shape }
                self.rules.append((pattern, try Self.actions(value)))
            }
            // What comes twice could mean one thing to the signer and another here.
            guard Set(self.rules.map { Array($0.pattern.utf8) }).count == self.rules.count else {
                throw WireError(.unauthorized, "The token's claim \"topics\" names a pattern twice.")
            }
        default: throw Self.shape
        }
    }

    private static func actions(_ value: JSONValue) throws(WireError) -> TopicRights.Actions {
        var actions: TopicRights.Actions = []
        for element in value.elements {
            guard let action = element.string.flatMap({ TopicRights.Actions(name: $0) }) else {
                throw WireError(.unauthorized, "The token's claim \"topics\" has an action that is none of subscribe, publish, presence.")
            }
            actions.insert(action)
        }
        return actions
    }

    private static let shape = WireError(
        .unauthorized, "The token's claim \"topics\" must be an object such as {\"news/#\":[\"subscribe\"]}, or a list of patterns.")

    /// What it allows, once the token's signature was found good.
    ///
    /// - Throws: `unauthorized` for a pattern that is none.
    func rights(_ limits: Limits) throws(WireError) -> TopicRights {
        var rules: [TopicRights.Rule] = []
        rules.reserveCapacity(self.rules.count)
        for (pattern, actions) in self.rules {
            if let problem = topicProblem(pattern, limits, wildcards: true) {
                throw WireError(.unauthorized, "A pattern of the token's claim \"topics\" \(problem).")
            }
            guard let filter = try? TopicFilter(parsing: pattern, limits: limits) else { throw Self.shape }
            rules.append(.init(pattern: filter, actions: actions))
        }
        return TopicRights(rules)
    }
}
