import Configuration
import MartletCore

/// What the configuration was read from.
package struct ConfigInput: Sendable {
    package var flags: ConfigFlags
    package var environment: [String: String]
    /// Where the file is looked for when nothing names one. Not in dev mode.
    package var usualFile = "/etc/martlet/martlet.yaml"

    package init(flags: ConfigFlags, environment: [String: String]) {
        self.flags = flags
        self.environment = environment
    }

    /// The file to read; nil if there is none.
    ///
    /// `--config`, then `MARTLET_CONFIG`, then the usual place if there is something and this is not dev mode.
    package var file: String? {
        if let file = self.flags.file ?? self.environment[ConfigEnvironment.file], !file.isEmpty { return file }
        let dev = ConfigCatalog.setting(key: "dev")
        if let dev, self.flags.source.has(dev) || self.environment[dev.environmentName] != nil { return nil }
        return TextFile.exists(self.usualFile) ? self.usualFile : nil
    }
}

/// The configuration that applies, with where each value comes from.
package struct LoadedConfiguration: Sendable {
    /// An option as it applies.
    package struct Line: Sendable {
        package var setting: ConfigSetting
        /// nil if it is not set and has no default.
        package var value: OptionValue?
        /// `default`, `martlet.yaml:12`, `MARTLET_LISTEN` or `--listen`.
        package var place: String
    }

    package var configuration = ServerConfiguration()
    /// All options, in the order of the documentation.
    package var lines: [Line] = []
    /// Everything that keeps the server from starting.
    package var problems: [ConfigProblem] = []
    /// What an operator should know, and what starts nevertheless.
    package var warnings: [String] = []
    /// The file that was read.
    package var file: String?

    /// Reads flags, environment and file, in this order of precedence, and checks all of it.
    package static func load(_ input: ConfigInput) -> LoadedConfiguration {
        var loaded = LoadedConfiguration()
        loaded.file = input.file
        var file = ConfigSource(name: "file")
        if let path = loaded.file {
            do throws(ConfigProblem) {
                file = ConfigFile(path: path, text: try TextFile.read(path)).source
            } catch {
                loaded.problems.append(error)
            }
        }
        let flags = input.flags.source
        let environment = ConfigEnvironment.read(input.environment, names: file.names.union(flags.names))
        let sources = [flags, environment, file]
        loaded.problems += sources.flatMap(\.problems)
        loaded.apply(sources)
        ConfigChecks.run(&loaded)
        return loaded
    }

    private mutating func apply(_ sources: [ConfigSource]) {
        let settings = ConfigCatalog.settings(sources.reduce(ConfigNames()) { $0.union($1.names) })
        let secrets = Set(settings.filter(\.option.isSecret).map(\.key))
        let reader = ConfigReader(providers: sources.map { $0.provider(secrets: secrets) })
        for setting in settings {
            switch setting.option.owner {
            case .namespace where self.configuration.namespaces[setting.name] == nil: self.configuration.namespaces[setting.name] = .init()
            case .namespace: break
            case .bridge: self.configuration.bridges[setting.name] = self.configuration.bridge(setting.name)
            case .app, .server: self.configuration.apps[setting.name, default: .init()] = self.configuration.options(of: setting.name)
            }
            let place = sources.first { $0.has(setting) }?.entries[setting.key]?.place
            if let place {
                do throws(ConfigProblem) {
                    guard let value = try setting.value(from: reader, at: place) else { continue }
                    let faults = setting.option.check(value)
                    self.problems += faults.map { ConfigProblem(place: place, text: "\(setting.key) \($0).") }
                    if faults.isEmpty { setting.option.write(&self.configuration, setting.name, value) }
                } catch {
                    self.problems.append(error)
                }
            }
            let value = setting.option.read(self.configuration, setting.name)
            self.lines.append(.init(setting: setting, value: value, place: place ?? "default"))
        }
    }

    /// Where a value comes from; nil if it is the default.
    func place(of key: String) -> String? {
        self.lines.first { $0.setting.key == key && $0.place != "default" }?.place
    }
}

extension ConfigSetting {
    /// Reads the value through swift-configuration.
    fileprivate func value(from reader: ConfigReader, at place: String) throws(ConfigProblem) -> OptionValue? {
        let key = ConfigKey(self.key.split(separator: ".").map(String.init))
        if case .list = self.option.kind {
            return reader.stringArray(forKey: key).map { .list($0) }
        }
        guard let text = reader.string(forKey: key, isSecret: self.option.isSecret) else { return nil }
        return try self.parsed(text, at: place)
    }

    private func parsed(_ text: String, at place: String) throws(ConfigProblem) -> OptionValue {
        switch self.option.kind {
        case .integer(let unit, let range):
            guard let number = unit.number(text) else {
                throw ConfigProblem(place: place, text: "\(self.key) must be \(unit.hint); \"\(text)\" is not.")
            }
            guard range.contains(number) else {
                throw ConfigProblem(place: place, text: "\(self.key) must be \(unit.text(of: range)); \(number) is not.")
            }
            return .integer(number)
        case .flag:
            switch text.lowercased() {
            case "true", "yes", "on", "1": return .flag(true)
            case "false", "no", "off", "0": return .flag(false)
            default: throw ConfigProblem(place: place, text: "\(self.key) must be true or false; \"\(text)\" is not.")
            }
        case .choice(let words):
            guard words.contains(text) else {
                let list = words.dropLast().joined(separator: ", ") + " or " + (words.last ?? "")
                throw ConfigProblem(place: place, text: "\(self.key) must be \(list); \"\(text)\" is not.")
            }
            return .text(text)
        case .text, .list:
            guard !text.isEmpty else { throw ConfigProblem(place: place, text: "\(self.key) is empty: give it a value, or leave it out.") }
            return .text(text)
        }
    }
}

extension OptionUnit {
    /// `from 256 to 16777216 bytes (256 to 16MiB)`.
    func text(of range: ClosedRange<Int>) -> String {
        let plain = "from \(range.lowerBound) to \(range.upperBound)"
        switch self {
        case .count: return plain
        case .perSecond: return plain + " a second"
        default: return "\(plain) \(self.rawValue) (\(self.text(range.lowerBound)) to \(self.text(range.upperBound)))"
        }
    }
}

extension LoadedConfiguration {
    /// What would be listened on, in one sentence.
    package var summary: String {
        let configuration = self.configuration
        let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
        let scheme = configuration.tls == nil ? "http" : "https"
        let file = self.file.map { "\($0) read; " } ?? "no file read; "
        return "\(file)would listen on \(scheme)://\(host):\(configuration.port) with the data in \(configuration.dataFolder)"
            + (configuration.isDev ? ", in dev mode." : ".")
    }
}
