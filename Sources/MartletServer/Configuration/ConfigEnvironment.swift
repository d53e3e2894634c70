/// Reads `MARTLET_…` variables.
enum ConfigEnvironment {
    static let prefix = "MARTLET_"
    /// Names the file.
    static let file = "MARTLET_CONFIG"
    /// What the client commands use; it may be set for both.
    private static let others: Set<String> = [Self.file, "MARTLET_KEY", "MARTLET_TOKEN", "MARTLET_URL"]

    /// - Parameter names: those that the file and the flags use.
    static func read(_ variables: [String: String], names: ConfigNames) -> ConfigSource {
        var source = ConfigSource(name: "environment")
        for (name, text) in variables.sorted(by: { $0.key < $1.key }) where name.hasPrefix(self.prefix) {
            if self.others.contains(name) || self.isServiceLink(name, text) { continue }
            guard let setting = ConfigCatalog.setting(named: name, spelling: ConfigName.environment, names: names) else {
                let text = ConfigSource.unknown(name, spelling: ConfigName.environment, names: names)
                source.problems.append(.init(text: text))
                continue
            }
            source.set(setting, .one(text), at: name)
        }
        return source
    }

    /// Kubernetes sets such variables in every container beside a service that is called `martlet`.
    private static func isServiceLink(_ name: String, _ text: String) -> Bool {
        name.hasPrefix("MARTLET_SERVICE_") || name == "MARTLET_PORT" || name.hasPrefix("MARTLET_PORT_")
    }
}
