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

        private static let named: [(name: String, action: Actions)] = [
            ("subscribe", .subscribe), ("publish", .publish), ("presence", .presence),
        ]

        /// One of them by its name in a token.
        package init?(name: String) {
            guard let found = Self.named.first(where: { $0.name == name }) else { return nil }
            self = found.action
        }

        /// Their names, in the order subscribe, publish, presence.
        package var names: [String] { Self.named.filter { self.contains($0.action) }.map(\.name) }
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
        /// The same for some actions.
        case everywhere(Actions)
        /// The token says nothing of topics: what the namespace allows to all.
        case unsaid
        case rules(Table)
    }

    /// Shared by all copies: a session's is one reference.
    private final class Table: Equatable, Sendable {
        let rules: [Rule]
        /// The actions by pattern, where walking through all rules would take longer.
        let index: FilterTrie<Actions>?

        init(_ rules: [Rule]) {
            self.rules = rules
            guard rules.count > 8 else {
                self.index = nil
                return
            }
            var index = FilterTrie<Actions>()
            for rule in rules { index.update(rule.pattern) { $0 = ($0 ?? []).union(rule.actions) } }
            self.index = index
        }

        func allows(_ action: Actions, _ filter: TopicFilter) -> Bool {
            guard let index = self.index, !filter.isWildcard else {
                return self.rules.contains { $0.actions.contains(action) && $0.pattern.covers(filter) }
            }
            var isAllowed = false
            index.visit(filter.text) { if $0.contains(action) { isAllowed = true } }
            return isAllowed
        }

        static func == (left: Table, right: Table) -> Bool { left === right || left.rules == right.rules }
    }

    private let kind: Kind

    package static let everything = TopicRights(kind: .everything)
    /// What an API key allows a client that shows one: publishing with the scope `publish`, subscribing with `read`.
    package static func key(_ scopes: KeyScopes) -> TopicRights {
        var actions: Actions = []
        if scopes.contains(.publish) { actions.insert(.publish) }
        if scopes.contains(.read) { actions.formUnion([.subscribe, .presence]) }
        return TopicRights(kind: .everywhere(actions))
    }

    package static let unsaid = TopicRights(kind: .unsaid)

    package init(_ rules: [Rule]) { self.kind = .rules(Table(rules)) }

    private init(kind: Kind) { self.kind = kind }

    /// The rules of a token that has some; nil if it says nothing of topics, or everything is allowed.
    package var rules: [Rule]? {
        guard case .rules(let table) = self.kind else { return nil }
        return table.rules
    }

    /// Whether an action is allowed on a topic, or on every topic that a filter matches.
    ///
    /// One rule must cover the whole filter: two that cover it only together do not.
    ///
    /// - Parameter options: as ``TopicNamespaces/options(of:in:)`` says for the topic or the filter; nil is taken as the default ones.
    package func allows(_ action: Actions, _ filter: TopicFilter, _ options: TopicOptions?) -> Bool {
        let access: TopicOptions.Access =
            switch action {
            case .publish: options?.publish ?? .token
            case .presence where options?.presence == false: .none
            default: options?.subscribe ?? .token
            }
        switch self.kind {
        case .everything: return true
        case .everywhere(let actions): return actions.contains(action)
        case .unsaid: return access == .all
        case .rules(let table): return access != .none && table.allows(action, filter)
        }
    }
}
