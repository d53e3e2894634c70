package import MartletCore
import Synchronization

/// The options of topics: the defaults, then what the configuration says of their namespace, then what the API says.
///
/// Asked for each publish: a table that is made anew with each change, one look in it, and no allocation for names up to 15 bytes.
package final class Namespaces: NamespaceDesk {
    private struct Tables {
        /// What the API set, by app and name.
        var changes: [TopicKey: TopicOptionsChange] = [:]
        /// What applies where the API set something.
        var own: [TopicKey: TopicOptions] = [:]
        /// For filters that span the namespaces of an app; those of apps that set nothing are in ``Namespaces/spanning``.
        var spanning: [AppID: TopicOptions] = [:]
    }

    package let defaults: TopicOptions
    /// What the configuration says, for every app: the key's app is none.
    private let configured: [TopicKey: TopicOptions]
    private let spanning: TopicOptions
    private let directory: any NamespaceDirectory
    private let tables = Mutex(Tables())
    private let onChange = Mutex<@Sendable () -> Void>({})

    private static let everyApp = AppID(0)

    package init(defaults: TopicOptions, configured: [String: TopicOptionsChange], directory: any NamespaceDirectory) {
        self.defaults = defaults
        let pairs = configured.map { (TopicKey(app: Self.everyApp, name: $0.key), $0.value.applied(to: defaults)) }
        self.configured = Dictionary(pairs, uniquingKeysWith: { first, _ in first })
        self.spanning = Self.strictest(defaults, self.configured)
        self.directory = directory
        directory.watchNamespaces { [weak self] in self?.take($0) }
    }

    private func take(_ changes: [TopicKey: TopicOptionsChange]) {
        var tables = Tables()
        tables.changes = changes
        for (key, change) in changes { tables.own[key] = change.applied(to: self.base(key.name)) }
        for app in Set(changes.keys.map(\.app)) {
            var all: [TopicKey: TopicOptions] = [:]
            for (key, options) in self.configured { all[TopicKey(app: app, name: key.name)] = options }
            for (key, options) in tables.own where key.app == app { all[key] = options }
            tables.spanning[app] = Self.strictest(self.defaults, all)
        }
        self.tables.withLock { $0 = tables }
        self.onChange.withLock { $0 }()
    }

    /// From now on `body` is called after each change, on any thread, once it is in effect.
    func watch(_ body: @escaping @Sendable () -> Void) { self.onChange.withLock { $0 = body } }

    /// What applies to a namespace that the API says nothing of.
    private func base(_ name: String) -> TopicOptions { self.configured[TopicKey(app: Self.everyApp, name: name)] ?? self.defaults }

    /// The default options, with the least access of all namespaces that a filter may span. One that begins with `$` is not among them.
    private static func strictest(_ defaults: TopicOptions, _ all: [TopicKey: TopicOptions]) -> TopicOptions {
        var strictest = defaults
        for (key, options) in all where key.name.utf8.first != UInt8(ascii: "$") {
            strictest.subscribe = Self.stricter(strictest.subscribe, options.subscribe)
            strictest.publish = Self.stricter(strictest.publish, options.publish)
            if !options.presence { strictest.presence = false }
        }
        return strictest
    }

    private static func stricter(_ one: TopicOptions.Access, _ other: TopicOptions.Access) -> TopicOptions.Access {
        switch (one, other) {
        case (.none, _), (_, .none): .none
        case (.token, _), (_, .token): .token
        case (.all, .all): .all
        }
    }

    // MARK: TopicNamespaces

    package func options(of topic: String, in app: AppID) -> TopicOptions {
        guard let first = topicNamespace(topic) else { return self.tables.withLock { $0.spanning[app] } ?? self.spanning }
        let own = self.tables.withLock { tables in
            tables.own.isEmpty ? nil : tables.own[TopicKey(app: app, name: String(first))]
        }
        if let own { return own }
        return self.configured.isEmpty ? self.defaults : self.base(String(first))
    }

    // MARK: NamespaceDesk

    package func namespaces(in app: AppID) -> [NamespaceInfo] {
        let changes = self.tables.withLock { $0.changes }
        var keys = Set(changes.keys.filter { $0.app == app })
        for key in self.configured.keys { keys.insert(TopicKey(app: app, name: key.name)) }
        return keys.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }.map { self.info($0, changes[$0]) }
    }

    package func namespace(_ name: String, in app: AppID) -> NamespaceInfo {
        let key = TopicKey(app: app, name: name)
        return self.info(key, self.tables.withLock { $0.changes[key] })
    }

    private func info(_ key: TopicKey, _ change: TopicOptionsChange?) -> NamespaceInfo {
        let base = self.base(key.name)
        return NamespaceInfo(
            name: key.name, options: change?.applied(to: base) ?? base, change: change,
            isConfigured: self.configured[TopicKey(app: Self.everyApp, name: key.name)] != nil)
    }

    package func setNamespace(
        _ name: String, in app: AppID, to change: TopicOptionsChange?, done: @escaping @Sendable (StoreError?) -> Void
    ) {
        self.directory.setNamespace(TopicKey(app: app, name: name), change, done: done)
    }
}
