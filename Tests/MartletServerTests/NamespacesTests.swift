import MartletCore
import MartletServer
import Synchronization
import Testing

/// A directory in memory that tells its watcher at once.
private final class FakeNamespaceDirectory: NamespaceDirectory {
    private struct State {
        var kept: [TopicKey: TopicOptionsChange] = [:]
        var watcher: (@Sendable ([TopicKey: TopicOptionsChange]) -> Void)?
    }

    private let state = Mutex(State())

    func watchNamespaces(_ body: @escaping @Sendable ([TopicKey: TopicOptionsChange]) -> Void) {
        self.state.withLock { $0.watcher = body }
        body(self.state.withLock { $0.kept })
    }

    func setNamespace(_ key: TopicKey, _ change: TopicOptionsChange?, done: @escaping @Sendable (StoreError?) -> Void) {
        let state = self.state.withLock { state in
            state.kept[key] = change
            return state
        }
        state.watcher?(state.kept)
        done(nil)
    }
}

@Suite("Namespaces")
struct NamespacesTests {
    private let acme = AppID(2)

    private func namespaces(_ yaml: String = "") throws -> Namespaces {
        let loaded = try load(yaml)
        #expect(loaded.sentences == [])
        return Namespaces(
            defaults: loaded.configuration.topics, configured: loaded.configuration.namespaces, directory: FakeNamespaceDirectory())
    }

    private func change(_ body: (inout TopicOptionsChange) -> Void) -> TopicOptionsChange {
        var change = TopicOptionsChange()
        body(&change)
        return change
    }

    @Test("follow the defaults, then the configuration, then the API, option by option")
    func layers() throws {
        let namespaces = try self.namespaces(
            "topics: {history: {messages: 5, age: 1h}, subscribe: all}\nnamespaces: {chat: {history.messages: 50, presence: true}}")
        namespaces.setNamespace("chat", in: .dev, to: self.change { $0.historySeconds = 60 }) { _ in }
        let chat = namespaces.options(of: "chat/42", in: .dev)
        #expect(chat.historyMessages == 50 && chat.historySeconds == 60 && chat.presence && chat.subscribe == .all && chat.publish == .token)
        let others = namespaces.options(of: "chat/42", in: self.acme)
        #expect(others.historyMessages == 50 && others.historySeconds == 3_600)
        #expect(namespaces.options(of: "news", in: .dev) == namespaces.defaults && namespaces.defaults.historyMessages == 5)
        namespaces.setNamespace("chat", in: .dev, to: nil) { _ in }
        #expect(namespaces.options(of: "chat/42", in: .dev) == others)
    }

    @Test("are the first level of a topic, byte for byte")
    func firstLevel() throws {
        let namespaces = try self.namespaces("namespaces: {chat: {presence: true}}")
        namespaces.setNamespace("é", in: .dev, to: self.change { $0.presence = true }) { _ in }
        for (topic, isPresent) in [
            ("chat", true), ("chat/", true), ("chat/1/2", true), ("chats", false), ("cha", false), ("/chat", false), ("Chat", false),
            ("é/1", true), ("e\u{301}/1", false), ("$chat", false), ("chat/#", true), ("chat/+", true),
        ] {
            #expect(namespaces.options(of: topic, in: .dev).presence == isPresent, "\(topic)")
        }
    }

    @Test("let a filter that spans them do what all of them allow", arguments: ["#", "+", "+/a", "+/#"])
    func spanning(_ filter: String) throws {
        let namespaces = try self.namespaces(
            "topics: {subscribe: all, publish: all, presence: true}\nnamespaces: {inner: {subscribe: token}, silent: {publish: none}}")
        var options = namespaces.options(of: filter, in: .dev)
        #expect(options.subscribe == .token && options.publish == .none && options.presence)
        namespaces.setNamespace(
            "secret", in: .dev,
            to: self.change {
                $0.subscribe = TopicOptions.Access.none
                $0.presence = false
            }
        ) { _ in }
        options = namespaces.options(of: filter, in: .dev)
        #expect(options.subscribe == .none && !options.presence)
        #expect(namespaces.options(of: filter, in: self.acme).subscribe == .token)
        // What begins with $ is not matched by such a filter.
        namespaces.setNamespace("secret", in: .dev, to: nil) { _ in }
        namespaces.setNamespace("$x", in: .dev, to: self.change { $0.subscribe = TopicOptions.Access.none }) { _ in }
        #expect(namespaces.options(of: filter, in: .dev).subscribe == .token)
    }

    @Test("are listed with what was set where")
    func list() throws {
        let namespaces = try self.namespaces("namespaces: {b: {presence: true}, a: {presence: true}}")
        let change = self.change { $0.publish = .all }
        namespaces.setNamespace("b", in: .dev, to: change) { _ in }
        namespaces.setNamespace("é/", in: .dev, to: change) { _ in }
        let list = namespaces.namespaces(in: .dev)
        #expect(list.map(\.name) == ["a", "b", "é/"] && list.map(\.isConfigured) == [true, true, false])
        #expect(list.map(\.change) == [nil, change, change] && list[1].options.presence && list[1].options.publish == .all)
        #expect(namespaces.namespaces(in: self.acme).map(\.name) == ["a", "b"])
        #expect(namespaces.namespace("nothing", in: .dev).options == namespaces.defaults)
    }

    // MARK: Configuration

    @Test(
        "are set in the file, by variables and by flags",
        arguments: [
            "namespaces:\n  chat:\n    history:\n      messages: 7\n    subscribe: all\n", "namespaces.chat: {history.messages: 7, subscribe: all}",
            "namespaces.chat.history.messages: 7\nnamespaces.chat.subscribe: all",
        ])
    func spellings(_ yaml: String) throws {
        let expected = self.change {
            $0.historyMessages = 7
            $0.subscribe = .all
        }
        let variables = ["MARTLET_NAMESPACES_CHAT_HISTORY_MESSAGES": "7", "MARTLET_NAMESPACES_CHAT_SUBSCRIBE": "all"]
        let loads = [
            try load(yaml), try load(environment: variables),
            try load(nil, "--namespaces-chat-history-messages", "7", "--namespaces-chat-subscribe=all"),
        ]
        for loaded in loads {
            #expect(loaded.sentences == [])
            #expect(loaded.configuration.namespaces == ["chat": expected])
        }
        #expect(loads[0].line("namespaces.chat.history.messages")?.value == .integer(7))
        #expect(loads[0].line("namespaces.chat.history.age")?.value == .integer(86_400))
    }

    @Test(
        "that are misspelt are refused with what may be meant",
        arguments: [
            (
                "namespaces: {chat: {histroy.messages: 7}}",
                "namespaces.chat.histroy.messages is not an option: did you mean namespaces.chat.history.messages?"
            ),
            ("namespaces: {chat: {subscribe: everybody}}", "must be all, token or none"),
            ("namespaces: {chat: {history: {messages: -1}}}", "must be from 0"), ("namespaces: {'a b': {presence: true}}", "1 to 64 letters"),
            ("topics: {history: {age: 0}}", "must be from 1"), ("limits: {topicMemoryBytes: 65536, messageBytes: 70000}", "may not be larger"),
        ])
    func misspelt(_ yaml: String, _ sentence: String) throws {
        let sentences = try load(yaml).sentences
        #expect(sentences.count == 1 && sentences[0].contains(sentence), "\(sentences)")
    }
}
