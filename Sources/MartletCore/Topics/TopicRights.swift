/// What a client may do with topics: the claim `topics` of its token.
///
/// A pattern is a topic filter; the wildcards `+` and `#` stand for whole levels. No patterns allow nothing.
package struct TopicRights: Equatable, Sendable {
    package struct Actions: OptionSet, Hashable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let subscribe = Actions(rawValue: 1)
        package static let publish = Actions(rawValue: 2)
        package static let presence = Actions(rawValue: 4)
        package static let all: Actions = [.subscribe, .publish, .presence]
    }

    package struct Rule: Equatable, Sendable {
        package var pattern: TopicFilter
        package var actions: Actions

        package init(pattern: TopicFilter, actions: Actions) {
            self.pattern = pattern
            self.actions = actions
        }
    }

    private enum Kind: Equatable {
        /// Whoever asks may do everything: an API key, or dev mode.
        case everything
        /// The token says nothing of topics: what the namespace allows to all.
        case unsaid
        case rules([Rule])
    }

    private let kind: Kind

    package static let everything = TopicRights(kind: .everything)
    package static let unsaid = TopicRights(kind: .unsaid)

    package init(_ rules: [Rule]) { self.kind = .rules(rules) }

    private init(kind: Kind) { self.kind = kind }

    /// Whether an action is allowed on a topic, or on every topic that a filter matches.
    ///
    /// - Parameter options: of the topic; for a filter with wildcards, of the namespace that its first level names, if it names one.
    package func allows(_ action: Actions, _ filter: TopicFilter, _ options: TopicOptions?) -> Bool {
        let access: TopicOptions.Access =
            switch action {
            case .publish: options?.publish ?? .token
            case .presence where options?.presence == false: .none
            default: options?.subscribe ?? .token
            }
        switch self.kind {
        case .everything: return true
        case .unsaid: return access == .all
        case .rules(let rules):
            guard access != .none else { return false }
            return rules.contains { $0.actions.contains(action) && $0.pattern.covers(filter) }
        }
    }
}
