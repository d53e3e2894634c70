import MartletCore
import Yams

/// Reads the YAML file.
struct ConfigFile {
    private(set) var source: ConfigSource
    private let path: String

    /// - Parameters:
    ///   - path: for messages.
    ///   - text: what the file holds.
    init(path: String, text: String) {
        self.path = path
        self.source = ConfigSource(name: "file")
        do {
            guard let root = try Yams.compose(yaml: text) else { return }
            guard case .mapping = root else {
                if root.scalar.map(Self.isNull) == true { return }
                self.refuse(root, "the file must hold options, such as `listen: 127.0.0.1:8080`.")
                return
            }
            self.walk(root, path: [])
        } catch let error as YamlError {
            self.source.problems.append(Self.problem(error, path: path))
        } catch {
            self.source.problems.append(.init(place: path, text: "cannot be read as YAML: \(error)."))
        }
    }

    private mutating func walk(_ node: Node, path: [String]) {
        guard case .mapping(let mapping) = node else {
            // A section all of whose options are commented out.
            if node.scalar.map(Self.isNull) == true { return }
            self.refuse(node, "\(path.joined(separator: ".")) is a section: its options stand below it, indented.")
            return
        }
        for (key, value) in mapping {
            guard let name = key.scalar?.string else {
                self.refuse(key, "the name of an option must be text.")
                continue
            }
            let inner = path + name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            if let setting = ConfigCatalog.setting(key: inner.joined(separator: ".")) {
                self.take(setting, value, key: key)
            } else if Self.isSection(inner) {
                self.walk(value, path: inner)
            } else {
                self.unknown(inner, at: key)
            }
        }
    }

    private static func isSection(_ path: [String]) -> Bool {
        if path.first == "apps" { return path.count <= 2 || path.count == 3 && path[2] == "tokens" }
        if path.first == "bridges" { return path.count <= 2 }
        if path.first == "namespaces" { return path.count <= 2 || path.count == 3 && path[2] == "history" }
        return ConfigCatalog.sections.contains(path.joined(separator: "."))
    }

    private mutating func take(_ setting: ConfigSetting, _ node: Node, key: Node) {
        if setting.option.isSecret {
            let file = setting.key + "File"
            self.refuse(key, "\(setting.key) may not stand in this file: put it into a file of its own, and name that with \(file).")
            return
        }
        guard !self.source.has(setting) else {
            self.refuse(key, "\(setting.key) is given twice.")
            return
        }
        let place = self.place(key)
        switch (node, setting.option.kind) {
        case (.scalar(let scalar), _) where Self.isNull(scalar):
            self.refuse(key, "\(setting.key) has no value: give it one, or put a # before the line.")
        case (.scalar(let scalar), _):
            self.source.set(setting, .one(scalar.string), at: place)
        case (.sequence(let items), .list) where items.allSatisfy({ $0.scalar != nil }):
            self.source.set(setting, .list(items.compactMap { $0.scalar?.string }), at: place)
        case (_, .list(let item)):
            self.refuse(key, "\(setting.key) is a list of texts, such as [\(item)].")
        default:
            self.refuse(key, "\(setting.key) is one value, not a list or a section.")
        }
    }

    private mutating func unknown(_ path: [String], at node: Node) {
        let name = path.joined(separator: ".")
        var names = ConfigCatalog.settings(apps: []).map(\.key)
        if let first = path.first, let owner = ConfigOption.Owner(rawValue: first), owner != .server, path.count > 2 {
            names = ConfigCatalog.all.filter { $0.owner == owner }.map { "\(first).\(path[1]).\($0.name)" }
        } else {
            names += ConfigCatalog.sections
        }
        let hint = NameHint.nearest(name, among: names).map { "did you mean \($0)?" } ?? "`martlet config doc` lists all."
        self.refuse(node, "\(name) is not an option: \(hint)")
    }

    private mutating func refuse(_ node: Node, _ text: String) {
        self.source.problems.append(.init(place: self.place(node), text: text))
    }

    private func place(_ node: Node) -> String { node.mark.map { "\(self.path):\($0.line)" } ?? self.path }

    private static func isNull(_ scalar: Node.Scalar) -> Bool {
        scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    private static func problem(_ error: YamlError, path: String) -> ConfigProblem {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            return .init(place: "\(path):\(mark.line)", text: "this is not YAML: \(problem).")
        case .duplicatedKeysInMapping(let names, let context):
            return .init(place: "\(path):\(context.mark.line)", text: "given twice in this section: \(names.joined(separator: ", ")).")
        default:
            return .init(place: path, text: "cannot be read as YAML: \(error).")
        }
    }
}
