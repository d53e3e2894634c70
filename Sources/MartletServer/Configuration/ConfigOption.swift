/// One option, declared once: its name in the file, its variable, its flag, its check and its documentation all come from here.
package struct ConfigOption: Sendable {
    /// What is accepted.
    package enum Kind: Equatable, Sendable {
        case integer(OptionUnit, ClosedRange<Int>)
        case flag
        case choice([String])
        /// One text; what it stands for, such as `host:port`.
        case text(String)
        case list(String)
    }

    /// Who has one of its own.
    package enum Owner: String, CaseIterable, Sendable {
        case server = ""
        case app = "apps"
        case namespace = "namespaces"
        case bridge = "bridges"
    }

    /// The section of the documentation.
    package var group: OptionGroup
    /// The key in the file, such as `limits.messageBytes`; for an option of an app, namespace or bridge, what follows its name.
    package var name: String
    package var kind: Kind
    /// One or two sentences.
    package var doc: String
    /// Never printed, and never taken from the file or a flag.
    package var isSecret = false
    package var owner = Owner.server
    /// The value in a configuration, for an app, a namespace or a bridge; nil if there is none.
    let read: @Sendable (ServerConfiguration, String) -> OptionValue?
    let write: @Sendable (inout ServerConfiguration, String, OptionValue) -> Void
    /// All that is wrong with a value of the right kind, each as the end of a sentence that begins with its name.
    var check: @Sendable (OptionValue) -> [String] = { _ in [] }
}

/// The sections of the documentation, in their order.
package enum OptionGroup: String, CaseIterable, Sendable {
    case server = "Server"
    case network = "Network and TLS"
    case protocols = "WebSocket compression"
    case mqtt = "MQTT"
    case grpc = "gRPC"
    case logs = "Logs and metrics"
    case tokens = "Client tokens"
    case apps = "Apps"
    case topics = "Topics"
    case namespaces = "Namespaces"
    case bridge = "Bridges to polled URLs"
    case bridges = "Each bridge"
    case messages = "Limits: messages"
    case storage = "Limits: storage"
    case topicLimits = "Limits: topics"
    case bridgeLimits = "Limits: bridges"
    case sessions = "Limits: sessions"
    case connections = "Limits: connections and requests"
    case rates = "Limits: rates"
}

/// An option of the server, or of one app, namespace or bridge.
package struct ConfigSetting: Sendable {
    package var option: ConfigOption
    /// The app, namespace or bridge; `default` for options of the server.
    package var name = ConfigCatalog.defaultApp

    /// As it is written in the file. The default app's tokens are `tokens.…` as well as `apps.default.tokens.…`.
    package var key: String {
        guard self.option.owner != .server else { return self.option.name }
        let isShort = self.option.owner == .app && self.name == ConfigCatalog.defaultApp && self.option.name.hasPrefix("tokens.")
        return isShort ? self.option.name : self.longKey
    }

    /// With the name of the app, namespace or bridge, even where it may be left out.
    var longKey: String { "\(self.option.owner.rawValue).\(self.name).\(self.option.name)" }

    package var environmentName: String { ConfigName.environment(self.key) }

    package var flag: String { ConfigName.flag(self.key) }
}

/// One name in three spellings: `limits.messageBytes`, `MARTLET_LIMITS_MESSAGE_BYTES`, `--limits-message-bytes`.
enum ConfigName {
    static func environment(_ key: String) -> String {
        "MARTLET_" + self.parts(key).map { $0.replacing("-", with: "_").uppercased() }.joined(separator: "_")
    }

    static func flag(_ key: String) -> String {
        "--" + self.parts(key).joined(separator: "-")
    }

    /// The components, those with humps divided and in lower case; the name of an app, namespace or bridge stays as it is.
    private static func parts(_ key: String) -> [String] {
        key.split(separator: ".").enumerated().map { index, part in
            index == 1 && ConfigOption.Owner.allCases.contains { $0 != .server && key.hasPrefix("\($0.rawValue).") }
                ? String(part) : self.divided(part)
        }
    }

    /// `jwksURL` becomes `jwks-url`.
    private static func divided(_ text: Substring) -> String {
        var result = ""
        var wasUpper = true
        for character in text {
            if character.isUppercase, !wasUpper { result.append("-") }
            result += character.lowercased()
            wasUpper = character.isUppercase
        }
        return result
    }
}
