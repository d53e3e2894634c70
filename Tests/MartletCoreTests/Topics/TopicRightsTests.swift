import MartletCore
import MartletWire
import Testing

@Suite("Rights to topics")
struct TopicRightsTests {
    private static func rule(_ pattern: String, _ actions: TopicRights.Actions) throws -> TopicRights.Rule {
        .init(pattern: try TopicFilter(parsing: pattern, limits: Limits()), actions: actions)
    }

    private static func options(
        subscribe: TopicOptions.Access = .token, publish: TopicOptions.Access = .token, presence: Bool = true
    ) -> TopicOptions {
        var options = TopicOptions()
        options.subscribe = subscribe
        options.publish = publish
        options.presence = presence
        return options
    }

    @Test(
        "allow what a pattern covers, and nothing else",
        arguments: [
            ("news/sport", true), ("news", true), ("news/#", true), ("news/+", true), ("news/+/#", true), ("newsx", false), ("#", false),
            ("+/sport", false), ("chat/1/alice", true), ("chat/1/bob", false), ("chat/+/alice", true), ("chat/1/+", false), ("chat/#", false),
            ("chat/1/alice/x", false), ("$SYS/x", false),
        ])
    func patterns(_ asked: String, _ isAllowed: Bool) throws {
        let filter = try TopicFilter(parsing: asked, limits: Limits())
        // The same with few rules and with many, which are looked up in another way.
        for fillers in [0, 40] {
            let rules =
                try [Self.rule("news/#", .subscribe), Self.rule("chat/+/alice", .subscribe)]
                + (0..<fillers).map { try Self.rule("filler/\($0)", .subscribe) }
            #expect(TopicRights(rules).allows(.subscribe, filter, Self.options()) == isAllowed)
            #expect(!TopicRights(rules).allows(.publish, filter, Self.options()))
        }
    }

    @Test("add up the actions of a pattern that comes twice, and of patterns that overlap", arguments: [0, 40])
    func several(_ fillers: Int) throws {
        let rules =
            try [Self.rule("a/b", .subscribe), Self.rule("a/b", .publish), Self.rule("a/+", .presence)]
            + (0..<fillers).map { try Self.rule("filler/\($0)", .all) }
        let rights = TopicRights(rules)
        let topic = TopicFilter(topic: "a/b")
        for action in [TopicRights.Actions.subscribe, .publish, .presence] { #expect(rights.allows(action, topic, Self.options())) }
        #expect(!rights.allows(.subscribe, TopicFilter(topic: "a/c"), Self.options()))
    }

    @Test("with an empty list are none, whatever the namespace allows")
    func empty() {
        for access in TopicOptions.Access.allCases {
            let options = Self.options(subscribe: access, publish: access)
            for action in [TopicRights.Actions.subscribe, .publish, .presence] {
                #expect(!TopicRights([]).allows(action, TopicFilter(topic: "a"), options))
            }
        }
    }

    /// Who, what the namespace says, and whether it is allowed.
    @Test(
        "follow the namespace",
        arguments: [
            (TopicOptions.Access.all, true, true, true), (.token, true, false, true), (.none, true, false, false),
        ])
    func namespaces(_ access: TopicOptions.Access, _ everything: Bool, _ unsaid: Bool, _ named: Bool) throws {
        let rules = TopicRights([try Self.rule("#", .all)])
        let topic = TopicFilter(topic: "a/b")
        for (action, options) in [
            (TopicRights.Actions.subscribe, Self.options(subscribe: access)), (.presence, Self.options(subscribe: access)),
            (.publish, Self.options(publish: access)),
        ] {
            #expect(TopicRights.everything.allows(action, topic, options) == everything)
            #expect(TopicRights.unsaid.allows(action, topic, options) == unsaid)
            #expect(rules.allows(action, topic, options) == named)
        }
    }

    @Test("tell nobody who is there where the namespace does not know it, but back ends")
    func presence() throws {
        let options = Self.options(subscribe: .all, presence: false)
        let topic = TopicFilter(topic: "a")
        #expect(!TopicRights.unsaid.allows(.presence, topic, options))
        #expect(!TopicRights([try Self.rule("a", .all)]).allows(.presence, topic, options))
        #expect(TopicRights.everything.allows(.presence, topic, options))
    }

    @Test("are looked up as they are walked through, for random patterns")
    func random() throws {
        var naive = NaiveTopics(seed: 9)
        for _ in 0..<300 {
            var texts: [String] = []
            while texts.count < 20 {
                let text = naive.filter()
                if (try? TopicFilter(parsing: text, limits: Limits())) != nil { texts.append(text) }
            }
            let rights = TopicRights(try texts.map { try Self.rule($0, .publish) })
            for _ in 0..<20 {
                let topic = naive.topic()
                let expected = texts.contains { NaiveTopics.matches($0, topic) }
                #expect(rights.allows(.publish, TopicFilter(topic: topic), Self.options()) == expected, "\(topic)")
            }
        }
    }
}
