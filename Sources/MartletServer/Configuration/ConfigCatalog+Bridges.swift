import MartletBridge
import MartletCore

extension ConfigCatalog {
    static let bridge: [ConfigOption] = [
        .list(
            .bridge, "bridge.allowedHosts", of: "host", \.bridgeHosts,
            "Hosts that bridges may poll, redirects included: `api.example.com` on the ports 80 and 443, `10.0.0.7:8000` on this one. No other is ever asked; link-local addresses and those of clouds' metadata only if they are listed as they are.",
            check: { HostList.problem($0) })
    ]

    static let bridges: [ConfigOption] = [
        Self.text(
            "url", "url", "The URL that is polled. `{user}` in its path or query stands for a user's name.", read: { $0.url.isEmpty ? nil : $0.url },
            write: { $0.url = $1 }),
        Self.text("topic", "topic", "The topic that the answer goes to, as its retained value, while it has a subscriber.", \.topic),
        Self.text(
            "type", "type",
            "The type of the message. Without `topic` each user has an answer of their own, which goes to the inbox while the user is connected, the newest in place of those before.",
            \.type),
        Self.text("path", "path", "Where those who still poll find the answer, such as `/feed/scores`.", \.path),
        Self.text("app", "app", "The app of the topic or the users.", read: { $0.app }, write: { $0.app = $1 }),
        Self.option(
            "access", .choice(BridgeOptions.Access.allCases.map(\.rawValue)),
            "Who may ask at `path`: who shows a `token` (or key) that allows the topic, or is the user's; or everybody (`public`).",
            read: { .text($0.access.rawValue) },
            write: { if case .text(let text) = $1, let access = BridgeOptions.Access(rawValue: text) { $0.access = access } }),
        Self.time("interval", \.plan.intervalMs, 100...86_400_000, "Time between the beginnings of two polls."),
        Self.time("jitter", \.plan.jitterMs, 0...86_400_000, "By how much a poll may come early, at random; not more than half of the interval."),
        Self.time("timeout", \.timeoutMs, 50...300_000, "Time for the whole answer, redirects included."),
        Self.option(
            "maxBytes", .integer(.bytes, 1...16_777_216), "An answer's bytes; more is an error. At most `limits.messageBytes`.",
            read: { .integer($0.maxBytes) }, write: { if case .integer(let number) = $1 { $0.maxBytes = number } }),
        Self.seconds("stale", \.plan.staleMs, 0...2_592_000, "Time for which those who still poll get the last answer when there is no new one."),
        Self.seconds("ttl", \.plan.ttlMs, 60...2_592_000, "Time that a pushed answer is good; it is pushed again after it, changed or not."),
        Self.option(
            "polls", .integer(.count, 1...1_000), "Polls for users that may be under way at once.",
            read: { .integer($0.plan.polls) }, write: { if case .integer(let number) = $1 { $0.plan.polls = number } }),
        Self.text(
            "userHeader", "header",
            "A header field that names the user to the URL's server, percent-encoded where it is not printable ASCII. Redirects stay on that server then.",
            \.userHeader),
        Self.text(
            "authorizationFile", "file", "File with what is sent as `Authorization`, such as `Bearer …`. Redirects stay on that server then.",
            \.authorizationFile),
    ]

    static let bridgeLimits: [ConfigOption] = [
        .number(.bridgeLimits, "limits.bridgeUsers", \.limits.bridgeUsers, .count, 1...1_000_000, "Users that one bridge polls for at once."),
        .number(
            .bridgeLimits, "limits.bridgeBytes", \.limits.bridgeBytes, .bytes, 65_536...68_719_476_736,
            "Answers that one bridge keeps for those who still poll; one that is not kept is polled again."),
    ]

    // MARK: Making

    private static func option(
        _ name: String, _ kind: ConfigOption.Kind, _ doc: String, read: @escaping @Sendable (BridgeOptions) -> OptionValue?,
        write: @escaping @Sendable (inout BridgeOptions, OptionValue) -> Void
    ) -> ConfigOption {
        ConfigOption(
            group: .bridges, name: name, kind: kind, doc: doc, owner: .bridge,
            read: { configuration, bridge in read(configuration.bridge(bridge)) },
            write: { configuration, bridge, value in write(&configuration.bridges[bridge, default: .init()], value) })
    }

    private static func text(
        _ name: String, _ placeholder: String, _ doc: String, read: @escaping @Sendable (BridgeOptions) -> String?,
        write: @escaping @Sendable (inout BridgeOptions, String) -> Void
    ) -> ConfigOption {
        self.option(
            name, .text(placeholder), doc, read: { read($0).map(OptionValue.text) },
            write: { if case .text(let text) = $1 { write(&$0, text) } })
    }

    private static func text(_ name: String, _ placeholder: String, _ doc: String, _ path: Field<BridgeOptions, String?>) -> ConfigOption {
        self.text(name, placeholder, doc, read: { $0[keyPath: path] }, write: { $0[keyPath: path] = $1 })
    }

    private static func time(_ name: String, _ path: Field<BridgeOptions, Int64>, _ range: ClosedRange<Int>, _ doc: String) -> ConfigOption {
        self.option(
            name, .integer(.milliseconds, range), doc, read: { .integer(Int($0[keyPath: path])) },
            write: { if case .integer(let number) = $1 { $0[keyPath: path] = Int64(number) } })
    }

    private static func seconds(_ name: String, _ path: Field<BridgeOptions, Int64>, _ range: ClosedRange<Int>, _ doc: String) -> ConfigOption {
        self.option(
            name, .integer(.seconds, range), doc, read: { .integer(Int($0[keyPath: path] / 1_000)) },
            write: { if case .integer(let number) = $1 { $0[keyPath: path] = Int64(number) * 1_000 } })
    }
}
