/// The texts that are made from the declarations: the reference, the sample file, the help.
package enum ConfigDocument {
    private static let defaults = ServerConfiguration()

    /// The options of a section of the documentation.
    private static func options(_ group: OptionGroup) -> [ConfigOption] { ConfigCatalog.all.filter { $0.group == group } }

    private static func defaultText(_ option: ConfigOption) -> String? {
        let value = option.read(self.defaults, ConfigCatalog.defaultApp)
        if case .list(let items) = value, items.isEmpty { return nil }
        return value.map { option.yaml($0) }
    }

    /// With NAME for the app, namespace or bridge; an app's tokens as those of the default one are written.
    private static func key(_ option: ConfigOption) -> String {
        option.owner == .server || option.group == .tokens ? option.name : "\(option.owner.rawValue).NAME.\(option.name)"
    }

    /// What may stand there, in a few words.
    private static func form(_ option: ConfigOption) -> String {
        switch option.kind {
        case .integer(let unit, let range): "\(unit.rawValue), \(unit.text(range.lowerBound)) to \(unit.text(range.upperBound))"
        case .flag: "true or false"
        case .choice(let words): words.joined(separator: ", ")
        case .text(let placeholder): placeholder
        case .list(let item): "list of \(item)s"
        }
    }

    // MARK: The reference

    /// docs/configuration.md.
    package static var markdown: String {
        var text = """
            <!-- Made by `martlet config doc > docs/configuration.md`. -->
            # Configuration

            Every option has one name in three spellings:

            | in the file | as a variable | as a flag of `martlet serve` |
            |---|---|---|
            | `limits.messageBytes` | `MARTLET_LIMITS_MESSAGE_BYTES` | `--limits-message-bytes` |

            A flag counts before a variable, a variable before the file, the file before the default.

            The file is YAML. It is the one that `--config` names, or `MARTLET_CONFIG`; otherwise `/etc/martlet/martlet.yaml`, if there is one and the server does not run with `--dev`.
            Sections may be nested or written with dots: `limits: {messageBytes: 64KiB}` and `limits.messageBytes: 64KiB` are the same. In a variable and a flag a list is divided by commas.
            Sizes are plain numbers or end in `B`, `KiB`, `MiB`, `GiB` (1,024 each) or `kB`, `MB`, `GB` (1,000 each); times in `ms`, `s`, `m`, `h`, `d`. A plain number counts in the unit that is named below.
            Relative paths start where the server was started.

            | command | does |
            |---|---|
            | `martlet config default` | prints a file with every option, commented out: a start for your own |
            | `martlet config check [FILE]` | reads it as the server would and says every mistake at once; exit code 1 if there is one |
            | `martlet config print [--json]` | prints what applies, and where each value comes from |
            | `martlet config doc` | prints this page |

            `check` and `print` take the flags of `serve` as well. A name that is not known is a mistake, not ignored. A change needs a restart (sessions come back by themselves and lose nothing);
            only the TLS certificate and key are read again while the server runs: on SIGHUP, and when they change.

            Secrets come from files of their own or from the environment, never from the configuration file or a flag, and are never printed. A secret's file that every user may read is warned about.


            """
        for group in OptionGroup.allCases {
            text += "## \(group.rawValue)\n\n"
            switch group {
            case .tokens:
                text +=
                    "For the app `default`. For another app each name begins with `apps.NAME.`: `apps.acme.tokens.issuer`, `MARTLET_APPS_ACME_TOKENS_ISSUER`, `--apps-acme-tokens-issuer`.\nWithout a secret, public keys or a JWKS URL an app accepts no tokens.\n\n"
            case .topics: text += "What topics do whose namespace says nothing else.\n\n"
            case .namespaces:
                text +=
                    "A namespace is the first level of a topic's name: `chat/42` is in `chat`. What is not set for it is as in `topics.…` above; what is set through the API (`PUT /v1/namespaces/{name}`) wins. A name has letters, digits, `-` and `_` here; by the API any.\n\n"
            case .bridge:
                text +=
                    "What clients poll today, polled once by Martlet for all of them and pushed when it changed: [bridge.md](bridge.md).\n\n"
            case .bridges:
                text += "A bridge has a name of letters, digits, `-` and `_`, and a topic, or a type if each user has an answer of their own.\n\n"
            case .apps: text += "For each app, `default` among them. An app's name has letters, digits, `-` and `_`.\n\n"
            default: break
            }
            text += "| option | value | default | |\n|---|---|---|---|\n"
            for option in self.options(group) {
                let value = group == .namespaces ? "as `topics`" : self.defaultText(option).map { "`\($0)`" } ?? "–"
                text += "| `\(self.key(option))` | \(self.form(option)) | \(value) | \(option.doc) |\n"
            }
            text += "\n"
        }
        return text
    }

    // MARK: The sample file

    /// A file with every option commented out: a line that begins with `#` and no space is an option with its default.
    package static var sample: String {
        var text = """
            # Martlet's configuration. Every option is here: `#name: value` shows a default, `# name: VALUE` has none.
            # Take the # away to set one; keep the indentation. `martlet config check FILE` says what is wrong,
            # `martlet config doc` prints the reference.

            """
        var section = ""
        for group in OptionGroup.allCases where group != .apps {
            text += "\n# --- \(group.rawValue)\n"
            if group == .namespaces || group == .bridges {
                text += group == .bridges ? self.bridgesSample : self.namespacesSample
                continue
            }
            for option in self.options(group) {
                let parts = option.name.split(separator: ".")
                let own = parts.count > 1 ? String(parts[0]) : ""
                if own != section, !own.isEmpty { text += "\(own):\n" }
                section = own
                let indent = own.isEmpty ? "" : "  "
                text += self.wrapped("\(option.doc) (\(self.form(option)))", at: 100).map { "\(indent)# \($0)\n" }.joined()
                if option.isSecret {
                    text += "\(indent)# Not here: \(ConfigName.environment(option.name))\n"
                } else {
                    let value = self.defaultText(option)
                    // Without a default it is an example that must be filled in.
                    let name = parts.count > 1 ? parts.dropFirst().joined(separator: ".") : option.name
                    text += value.map { "\(indent)#\(name): \($0)\n" } ?? "\(indent)# \(name): \(self.example(option))\n"
                }
            }
        }
        text +=
            "\n# --- \(OptionGroup.apps.rawValue)\n# Each by its name; each may have `tokens:` of its own, like the ones above, which are those of `default`.\napps:\n  default:\n"
        for option in self.options(.apps) {
            text += self.wrapped("\(option.doc) (\(self.form(option)))", at: 100).map { "    # \($0)\n" }.joined()
            text += "    #\(option.name): \(self.defaultText(option) ?? "")\n"
        }
        return text
    }

    private static let namespacesSample = """
        # Topics by the first level of their name; what is not set is as in topics: above. For chat/… for example:
        # namespaces:
        #   chat:
        #     history.messages: 100
        #     presence: true

        """

    private static let bridgesSample = """
        # URLs that clients poll today, each by a name of your own; the options and their defaults are in the reference. For example:
        # bridges:
        #   scores:
        #     url: https://api.example.com/scores
        #     topic: live/scores
        #     path: /feed/scores
        #     interval: 5s

        """

    private static func example(_ option: ConfigOption) -> String {
        switch option.kind {
        case .list(let item): "[\(item.uppercased())]"
        case .text(let placeholder): placeholder.uppercased()
        default: ""
        }
    }

    // MARK: The help

    /// All flags with their defaults.
    package static var flags: String {
        var text = ""
        for group in OptionGroup.allCases {
            text += "\n\(group.rawValue.uppercased())\n"
            if group == .tokens { text += "  Of the app default; of another, --apps-NAME-tokens-….\n" }
            for option in self.options(group) where !option.isSecret {
                let value =
                    switch option.kind {
                    case .flag: ""
                    case .integer(let unit, _): " <\(unit == .count || unit == .perSecond ? "n" : unit.rawValue)>"
                    case .choice(let words): " <\(words.count > 4 ? "level" : words.joined(separator: "|"))>"
                    case .text(let name): " <\(name)>"
                    case .list(let item): " <\(item),…>"
                    }
                let standard = group == .namespaces ? "" : self.defaultText(option).map { option.kind == .flag ? "" : " (default: \($0))" } ?? ""
                text += "  \(ConfigName.flag(self.key(option)))\(value)\n"
                text += self.wrapped(option.doc.replacing("`", with: "") + standard, at: 71).map { "        \($0)\n" }.joined()
            }
        }
        return text
    }

    private static func wrapped(_ text: String, at width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + word.count >= width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? "\(word)" : " \(word)"
        }
        return lines + [line]
    }
}
