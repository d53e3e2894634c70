/// All options.
package enum ConfigCatalog {
    package static let defaultApp = "default"

    package static let all: [ConfigOption] =
        Self.server + Self.network + Self.logs + Self.tokens + Self.apps + Self.messages + Self.storage + Self.sessions
        + Self.connections + Self.rates

    /// What may stand in the file as a section.
    static let sections: Set<String> = {
        var sections: Set<String> = ["apps"]
        for option in all where !option.isPerApp || option.name.hasPrefix("tokens.") {
            let parts = option.name.split(separator: ".")
            for count in 1..<max(1, parts.count) { sections.insert(parts.prefix(count).joined(separator: ".")) }
        }
        return sections
    }()

    /// The settings of the server and of these apps, in the order of the documentation.
    package static func settings(apps: some Sequence<String>) -> [ConfigSetting] {
        let apps = [self.defaultApp] + apps.filter { $0 != self.defaultApp }.sorted()
        return self.all.flatMap { option in
            option.isPerApp ? apps.map { ConfigSetting(option: option, app: $0) } : [ConfigSetting(option: option)]
        }
    }

    /// The setting with this key in the file.
    static func setting(key: String) -> ConfigSetting? {
        let parts = key.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3, parts[0] == "apps" {
            let option = self.all.first { $0.isPerApp && $0.name == parts[2] }
            return option.map { ConfigSetting(option: $0, app: String(parts[1])) }
        }
        let option = self.all.first { $0.name == key && (!$0.isPerApp || key.hasPrefix("tokens.")) }
        return option.map { ConfigSetting(option: $0) }
    }

    /// The setting with this flag or variable.
    ///
    /// - Parameters:
    ///   - spelling: how a key is written there.
    ///   - apps: names that are known already. A variable has lost the case of an app's name: without a match it is lower case.
    static func setting(
        named name: String, spelling: (String) -> String, apps: some Sequence<String>
    ) -> ConfigSetting? {
        let known = self.settings(apps: apps).first {
            spelling($0.key) == name || $0.option.isPerApp && spelling("apps.\($0.app).\($0.option.name)") == name
        }
        if let known { return known }
        let prefix = spelling("apps.x").dropLast()
        for option in self.all where option.isPerApp {
            let suffix = spelling("apps.x.\(option.name)").dropFirst(prefix.count + 1)
            guard name.hasPrefix(prefix), name.hasSuffix(suffix), name.count > prefix.count + suffix.count else { continue }
            let app = String(name.dropFirst(prefix.count).dropLast(suffix.count))
            return ConfigSetting(option: option, app: name.hasPrefix("--") ? app : app.lowercased())
        }
        return nil
    }

    /// Whether an app may be called this: it is part of keys, variables and addresses.
    static func isAppName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
    }
}

extension ServerConfiguration {
    /// What is set for an app; the defaults for one that is not named.
    package func options(of app: String) -> AppOptions { self.apps[app] ?? AppOptions() }
}
