/// All options.
package enum ConfigCatalog {
    package static let defaultApp = "default"

    package static let all: [ConfigOption] =
        Self.server + Self.network + Self.protocols + Self.mqtt + Self.grpc + Self.logs + Self.tokens + Self.apps + Self.topics + Self.namespaces
        + Self.bridge
        + Self.bridges + Self.messages + Self.storage + Self.topicLimits + Self.bridgeLimits + Self.sessions + Self.connections + Self.rates

    /// What may stand in the file as a section.
    static let sections: Set<String> = {
        var sections: Set<String> = ["apps", "namespaces", "bridges"]
        for option in all where option.owner == .server || option.name.hasPrefix("tokens.") {
            let parts = option.name.split(separator: ".")
            for count in 1..<max(1, parts.count) { sections.insert(parts.prefix(count).joined(separator: ".")) }
        }
        return sections
    }()

    /// The settings of the server and of these apps and namespaces, in the order of the documentation.
    package static func settings(apps: some Sequence<String>) -> [ConfigSetting] {
        self.settings(ConfigNames(apps: Set(apps)))
    }

    static func settings(_ names: ConfigNames) -> [ConfigSetting] {
        let apps = [self.defaultApp] + names.apps.filter { $0 != self.defaultApp }.sorted()
        let namespaces = names.namespaces.sorted()
        return self.all.flatMap { option in
            switch option.owner {
            case .server: [ConfigSetting(option: option)]
            case .app: apps.map { ConfigSetting(option: option, name: $0) }
            case .namespace: namespaces.map { ConfigSetting(option: option, name: $0) }
            case .bridge: names.bridges.sorted().map { ConfigSetting(option: option, name: $0) }
            }
        }
    }

    /// The setting with this key in the file.
    static func setting(key: String) -> ConfigSetting? {
        let parts = key.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3, let owner = ConfigOption.Owner(rawValue: String(parts[0])), owner != .server {
            let option = self.all.first { $0.owner == owner && $0.name == parts[2] }
            return option.map { ConfigSetting(option: $0, name: String(parts[1])) }
        }
        let option = self.all.first { $0.name == key && ($0.owner == .server || key.hasPrefix("tokens.")) }
        return option.map { ConfigSetting(option: $0) }
    }

    /// The setting with this flag or variable.
    ///
    /// - Parameters:
    ///   - spelling: how a key is written there.
    ///   - names: those that are known already. A variable has lost the case of a name: without a match it is lower case.
    static func setting(named name: String, spelling: (String) -> String, names: ConfigNames = .init()) -> ConfigSetting? {
        let known = self.settings(names).first {
            spelling($0.key) == name || $0.option.owner != .server && spelling($0.longKey) == name
        }
        if let known { return known }
        for option in self.all where option.owner != .server {
            let prefix = spelling("\(option.owner.rawValue).x").dropLast()
            let suffix = spelling("\(option.owner.rawValue).x.\(option.name)").dropFirst(prefix.count + 1)
            guard name.hasPrefix(prefix), name.hasSuffix(suffix), name.count > prefix.count + suffix.count else { continue }
            let own = String(name.dropFirst(prefix.count).dropLast(suffix.count))
            return ConfigSetting(option: option, name: name.hasPrefix("--") ? own : own.lowercased())
        }
        return nil
    }

    /// Whether an app, or a namespace or bridge of the configuration, may be called this: it is part of keys, variables and addresses.
    static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
    }
}

/// The names of apps, namespaces and bridges that the configuration uses.
struct ConfigNames: Equatable, Sendable {
    var apps: Set<String> = [ConfigCatalog.defaultApp]
    var namespaces: Set<String> = []
    var bridges: Set<String> = []

    func union(_ other: ConfigNames) -> ConfigNames {
        ConfigNames(
            apps: self.apps.union(other.apps), namespaces: self.namespaces.union(other.namespaces), bridges: self.bridges.union(other.bridges))
    }
}

extension ServerConfiguration {
    /// What is set for an app; the defaults for one that is not named.
    package func options(of app: String) -> AppOptions { self.apps[app] ?? AppOptions() }
}
