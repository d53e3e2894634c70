import Configuration
import MartletCore

/// Something wrong with the configuration, in one sentence, with where it stands.
package struct ConfigProblem: Error, Equatable, CustomStringConvertible, Sendable {
    /// `martlet.yaml:12`, the name of a variable or flag; nil if it is none of these.
    package var place: String?
    package var text: String

    package var description: String { self.place.map { "\($0): \(self.text)" } ?? self.text }
}

/// What one place says: the flags, the environment or the file.
struct ConfigSource {
    /// A value as it is written.
    enum Text: Equatable {
        case one(String)
        case list([String])
    }

    struct Entry: Equatable {
        var text: Text
        /// For messages: `martlet.yaml:12`, `MARTLET_LISTEN`, `--listen`.
        var place: String
    }

    var name: String
    /// By key.
    private(set) var entries: [String: Entry] = [:]
    private(set) var names = ConfigNames()
    var problems: [ConfigProblem] = []

    init(name: String) { self.name = name }

    /// Notes a value; for a list, text is divided at commas.
    mutating func set(_ setting: ConfigSetting, _ text: Text, at place: String) {
        guard ConfigCatalog.isName(setting.name) else {
            let what =
                switch setting.option.owner {
                case .namespace: "a namespace's name in the configuration"
                case .bridge: "a bridge's name"
                case .app, .server: "an app's name"
                }
            self.problems.append(.init(place: place, text: "\(what) has 1 to 64 letters, digits, - and _: \"\(setting.name)\" is none."))
            return
        }
        switch setting.option.owner {
        case .server: break
        case .app: self.names.apps.insert(setting.name)
        case .namespace: self.names.namespaces.insert(setting.name)
        case .bridge: self.names.bridges.insert(setting.name)
        }
        var text = text
        if case .list = setting.option.kind, case .one(let one) = text {
            text = .list(one.split(separator: ",").map { String($0.drop { $0 == " " }) })
        }
        self.entries[setting.key] = Entry(text: text, place: place)
    }

    func has(_ setting: ConfigSetting) -> Bool { self.entries[setting.key] != nil }

    /// The source as swift-configuration reads it.
    func provider(secrets: Set<String>) -> InMemoryProvider {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, entry) in self.entries {
            let content: ConfigContent =
                switch entry.text {
                case .one(let text): .string(text)
                case .list(let items): .stringArray(items)
                }
            values[AbsoluteConfigKey(key.split(separator: ".").map(String.init))] = .init(content, isSecret: secrets.contains(key))
        }
        return InMemoryProvider(name: self.name, values: values)
    }

    /// The sentence about a name that nobody knows.
    static func unknown(_ name: String, spelling: (String) -> String, names: ConfigNames) -> String {
        let names = ConfigCatalog.settings(names).map { spelling($0.key) }
        let hint = NameHint.nearest(name, among: names).map { "did you mean \($0)?" } ?? "`martlet config doc` lists all."
        return "\(name) is not an option: \(hint)"
    }
}
