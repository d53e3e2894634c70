/// A field of the configuration.
typealias Field<Root, Value> = any WritableKeyPath<Root, Value> & Sendable

extension ConfigOption {
    /// A number that is kept in a field of any integer type.
    static func number<Number: BinaryInteger & SendableMetatype>(
        _ group: OptionGroup, _ name: String, _ path: Field<ServerConfiguration, Number>, _ unit: OptionUnit,
        _ range: ClosedRange<Int>, _ doc: String
    ) -> ConfigOption {
        ConfigOption(
            group: group, name: name, kind: .integer(unit, range), doc: doc,
            read: { configuration, _ in .integer(Int(clamping: configuration[keyPath: path])) },
            write: { configuration, _, value in
                if case .integer(let number) = value { configuration[keyPath: path] = Number(clamping: number) }
            })
    }

    static func flag(
        _ group: OptionGroup, _ name: String, _ path: Field<ServerConfiguration, Bool>, _ doc: String
    ) -> ConfigOption {
        ConfigOption(
            group: group, name: name, kind: .flag, doc: doc,
            read: { configuration, _ in .flag(configuration[keyPath: path]) },
            write: { configuration, _, value in
                if case .flag(let flag) = value { configuration[keyPath: path] = flag }
            })
    }

    static func list(
        _ group: OptionGroup, _ name: String, of item: String, _ path: Field<ServerConfiguration, [String]>,
        _ doc: String, check: @escaping @Sendable (String) -> String?
    ) -> ConfigOption {
        ConfigOption(
            group: group, name: name, kind: .list(item), doc: doc,
            read: { configuration, _ in .list(configuration[keyPath: path]) },
            write: { configuration, _, value in
                if case .list(let items) = value { configuration[keyPath: path] = items }
            },
            check: { value in
                guard case .list(let items) = value else { return [] }
                return items.compactMap(check)
            })
    }

    /// Text that is kept in some way.
    static func text(
        _ group: OptionGroup, _ name: String, _ placeholder: String, _ doc: String,
        read: @escaping @Sendable (ServerConfiguration) -> String?,
        write: @escaping @Sendable (inout ServerConfiguration, String) -> Void,
        check: @escaping @Sendable (String) -> String? = { _ in nil }
    ) -> ConfigOption {
        ConfigOption(
            group: group, name: name, kind: .text(placeholder), doc: doc,
            read: { configuration, _ in read(configuration).map(OptionValue.text) },
            write: { configuration, _, value in
                if case .text(let text) = value { write(&configuration, text) }
            },
            check: Self.text(check))
    }

    /// One of some words, which are the raw values of a field's type.
    static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ group: OptionGroup, _ name: String, _ path: Field<ServerConfiguration, Choice>, _ doc: String
    ) -> ConfigOption {
        ConfigOption(
            group: group, name: name, kind: .choice(Choice.allCases.map(\.rawValue)), doc: doc,
            read: { configuration, _ in .text(configuration[keyPath: path].rawValue) },
            write: { configuration, _, value in
                if case .text(let text) = value, let choice = Choice(rawValue: text) { configuration[keyPath: path] = choice }
            })
    }

    // MARK: Options of an app

    static func appNumber(
        _ group: OptionGroup, _ name: String, _ path: Field<ServerConfiguration.AppOptions, Int>,
        _ unit: OptionUnit, _ range: ClosedRange<Int>, _ doc: String
    ) -> ConfigOption {
        ConfigOption(
            group: group, name: name, kind: .integer(unit, range), doc: doc, owner: .app,
            read: { configuration, app in .integer(configuration.options(of: app)[keyPath: path]) },
            write: { configuration, app, value in
                if case .integer(let number) = value { configuration.apps[app, default: .init()][keyPath: path] = number }
            })
    }

    static func appFlag(
        _ name: String, _ path: Field<ServerConfiguration.AppOptions, Bool>, _ doc: String
    ) -> ConfigOption {
        ConfigOption(
            group: .tokens, name: name, kind: .flag, doc: doc, owner: .app,
            read: { configuration, app in .flag(configuration.options(of: app)[keyPath: path]) },
            write: { configuration, app, value in
                if case .flag(let flag) = value { configuration.apps[app, default: .init()][keyPath: path] = flag }
            })
    }

    static func appText(
        _ name: String, _ placeholder: String, _ path: Field<ServerConfiguration.AppOptions, String?>,
        _ doc: String, isSecret: Bool = false, check: @escaping @Sendable (String) -> String? = { _ in nil }
    ) -> ConfigOption {
        ConfigOption(
            group: .tokens, name: name, kind: .text(placeholder), doc: doc, isSecret: isSecret, owner: .app,
            read: { configuration, app in configuration.options(of: app)[keyPath: path].map(OptionValue.text) },
            write: { configuration, app, value in
                if case .text(let text) = value { configuration.apps[app, default: .init()][keyPath: path] = text }
            },
            check: Self.text(check))
    }

    static func appList(
        _ name: String, of item: String, _ path: Field<ServerConfiguration.AppOptions, [String]>, _ doc: String
    ) -> ConfigOption {
        ConfigOption(
            group: .tokens, name: name, kind: .list(item), doc: doc, owner: .app,
            read: { configuration, app in .list(configuration.options(of: app)[keyPath: path]) },
            write: { configuration, app, value in
                if case .list(let items) = value { configuration.apps[app, default: .init()][keyPath: path] = items }
            })
    }

    private static func text(_ check: @escaping @Sendable (String) -> String?) -> @Sendable (OptionValue) -> [String] {
        { value in
            guard case .text(let text) = value else { return [] }
            return check(text).map { [$0] } ?? []
        }
    }
}
