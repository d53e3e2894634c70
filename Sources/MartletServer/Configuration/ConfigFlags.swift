import MartletCore

/// Reads the command line of `serve` and `config`.
package struct ConfigFlags: Sendable {
    /// `--config FILE`.
    package var file: String?
    /// What is not a flag, in order.
    package var rest: [String] = []
    package var wantsHelp = false
    var source = ConfigSource(name: "flags")

    /// - Parameter arguments: what stands after the command.
    package init(_ arguments: [String]) {
        var arguments = arguments[...]
        while let argument = arguments.popFirst() {
            switch argument {
            case "--help", "-h", "-help": self.wantsHelp = true
            case "--":
                self.rest += arguments.map { $0 }
                arguments = []
            case _ where argument.hasPrefix("-"): self.take(argument, from: &arguments)
            default: self.rest.append(argument)
            }
        }
    }

    private mutating func take(_ argument: String, from arguments: inout ArraySlice<String>) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let flag = String(parts[0])
        var text = parts.count == 2 ? String(parts[1]) : nil
        let setting = ConfigCatalog.setting(named: flag, spelling: ConfigName.flag)
        guard setting != nil || flag == "--config" else {
            self.source.problems.append(.init(text: Self.unknown(flag)))
            // What follows an unknown flag is its value, if it is no flag itself.
            if text == nil, let next = arguments.first, !next.hasPrefix("-") { arguments.removeFirst() }
            return
        }
        if case .flag? = setting?.option.kind, text == nil {
            text = "true"
        } else if text == nil, arguments.first?.hasPrefix("--") == false {
            text = arguments.popFirst()
        }
        guard let text else {
            self.source.problems.append(.init(text: "\(flag) needs a value after it."))
            return
        }
        guard let setting else {
            self.file = text
            return
        }
        if setting.option.isSecret {
            self.source.problems.append(
                .init(
                    text: "\(flag) would be seen by every user of this machine: use \(setting.flag)-file, or the variable \(setting.environmentName)."
                ))
            return
        }
        // A list may be given a piece at a time.
        if case .list = setting.option.kind, case .list(let before)? = self.source.entries[setting.key]?.text {
            self.source.set(setting, .list(before + text.split(separator: ",").map(String.init)), at: setting.flag)
        } else {
            self.source.set(setting, .one(text), at: setting.flag)
        }
    }

    private static func unknown(_ flag: String) -> String {
        let flags = ConfigCatalog.settings(apps: []).map(\.flag) + ["--config", "--help"]
        let hint = NameHint.nearest(flag, among: flags).map { "did you mean \($0)?" } ?? "`martlet serve --help` lists all."
        return "\(flag) is not an option: \(hint)"
    }
}
