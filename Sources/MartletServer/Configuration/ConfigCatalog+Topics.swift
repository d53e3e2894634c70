import MartletCore

extension ConfigCatalog {
    /// What the topics of a namespace do: once for all (`topics.…`), and once for each (`namespaces.NAME.…`).
    private static let ofTopics: [(all: ConfigOption, one: ConfigOption)] = [
        Self.number(
            "history.messages", \.historyMessages, \.historyMessages, .count, TopicOptions.historyMessagesRange,
            "Messages of each topic that are kept for who comes later or was away; 0 keeps none, and a message only reaches who is there."),
        Self.number(
            "history.age", \.historySeconds, \.historySeconds, .seconds, TopicOptions.historySecondsRange, "Age up to which they are kept."),
        Self.number(
            "history.bytes", \.historyBytes, \.historyBytes, .bytes, TopicOptions.historyBytesRange, "Bytes of each topic that are kept."),
        Self.choice(
            "storage", \.storage, \.storage,
            "Where they and the retained value are kept: `memory` (fast, gone when the server stops) or `durable` (on disk, like inboxes)."),
        Self.flag("presence", \.presence, \.presence, "Whether it is known and told who subscribes."),
        Self.choice(
            "subscribe", \.subscribe, \.subscribe,
            "Which clients may subscribe and read the history: `all`, those whose `token` names the topic, or `none`."),
        Self.choice(
            "publish", \.publish, \.publish,
            "Which clients may publish: `all`, those whose `token` names the topic, or `none`. Back ends with a key always may."),
    ]

    static let topics: [ConfigOption] = Self.ofTopics.map(\.all)
    static let namespaces: [ConfigOption] = Self.ofTopics.map(\.one)

    static let topicLimits: [ConfigOption] = [
        .number(.topicLimits, "limits.topicBytes", \.limits.topicBytes, .bytes, 16...1_024, "A topic's name or filter."),
        .number(.topicLimits, "limits.topicLevels", \.limits.topicLevels, .count, 1...64, "Levels of a topic's name or filter."),
        .number(
            .topicLimits, "limits.topicsPerSession", \.limits.topicsPerSession, .count, 1...10_000,
            "Topics and filters that one session may subscribe to."),
        .number(
            .topicLimits, "limits.topicMemoryBytes", \.limits.topicMemoryBytes, .bytes, 65_536...1_099_511_627_776,
            "History and retained values kept in memory, all topics together; the oldest of the app that holds most go first. At least `limits.messageBytes`."
        ),
        .number(
            .topicLimits, "limits.presenceListed", \.limits.presenceListed, .count, 0...10_000,
            "Members named in one event of who came and went."),
        .number(
            .topicLimits, "limits.keptSessions", \.limits.keptSessions, .count, 0...10_000_000,
            "Sessions of MQTT clients that one app may have kept over a lost connection, those of connected clients included; 0 refuses them."),
        .number(
            .topicLimits, "limits.keptSessionsPerUser", \.limits.keptSessionsPerUser, .count, 0...10_000_000,
            "Those of one user; 0 is any number. Sessions of clients with an API key are nobody's."),
        .number(
            .topicLimits, "limits.willBytes", \.limits.willBytes, .bytes, 0...68_719_476_736,
            "Wills of the MQTT clients of one app, connected or kept, in memory and on disk."),
        .number(
            .topicLimits, "limits.queueMessages", \.limits.queueMessages, .count, 1...10_000_000,
            "Messages of one topic that wait on disk for such sessions; the oldest go first."),
        .number(
            .topicLimits, "limits.queueBytes", \.limits.queueBytes, .bytes, 1_024...68_719_476_736,
            "Bytes of one topic that wait for them; at least `limits.messageBytes`."),
        .number(
            .topicLimits, "limits.namespaces", \.limits.namespaces, .count, 0...100_000, "Namespaces that one app may set through the API."),
    ]

    // MARK: Making

    private static func pair(
        _ name: String, _ kind: ConfigOption.Kind, _ doc: String, read: @escaping @Sendable (TopicOptions) -> OptionValue,
        write: @escaping @Sendable (inout TopicOptionsChange, OptionValue) -> Void
    ) -> (all: ConfigOption, one: ConfigOption) {
        let all = ConfigOption(
            group: .topics, name: "topics.\(name)", kind: kind, doc: doc, read: { configuration, _ in read(configuration.topics) },
            write: { configuration, _, value in
                var change = TopicOptionsChange()
                write(&change, value)
                configuration.topics = change.applied(to: configuration.topics)
            })
        let one = ConfigOption(
            group: .namespaces, name: name, kind: kind, doc: doc, owner: .namespace,
            read: { configuration, namespace in
                read((configuration.namespaces[namespace] ?? .init()).applied(to: configuration.topics))
            },
            write: { configuration, namespace, value in write(&configuration.namespaces[namespace, default: .init()], value) })
        return (all, one)
    }

    private static func number(
        _ name: String, _ path: Field<TopicOptions, Int>, _ change: Field<TopicOptionsChange, Int?>, _ unit: OptionUnit,
        _ range: ClosedRange<Int>, _ doc: String
    ) -> (all: ConfigOption, one: ConfigOption) {
        self.pair(
            name, .integer(unit, range), doc, read: { .integer($0[keyPath: path]) },
            write: { if case .integer(let number) = $1 { $0[keyPath: change] = number } })
    }

    private static func flag(
        _ name: String, _ path: Field<TopicOptions, Bool>, _ change: Field<TopicOptionsChange, Bool?>, _ doc: String
    ) -> (all: ConfigOption, one: ConfigOption) {
        self.pair(
            name, .flag, doc, read: { .flag($0[keyPath: path]) },
            write: { if case .flag(let flag) = $1 { $0[keyPath: change] = flag } })
    }

    private static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ name: String, _ path: Field<TopicOptions, Choice>, _ change: Field<TopicOptionsChange, Choice?>, _ doc: String
    ) -> (all: ConfigOption, one: ConfigOption) {
        self.pair(
            name, .choice(Choice.allCases.map(\.rawValue)), doc, read: { .text($0[keyPath: path].rawValue) },
            write: { if case .text(let text) = $1, let choice = Choice(rawValue: text) { $0[keyPath: change] = choice } })
    }
}
