import Logging
import MartletHTTP
import MartletStoreSQLite

extension ConfigCatalog {
    static let server: [ConfigOption] = [
        .flag(
            .server, "dev", \.isDev,
            "For trying it: no keys, no tokens, `?user=alice&device=a1` stands for a token, and only this machine can connect."),
        .text(
            .server, "data", "folder", "The folder of the store; created if there is none. One server at a time uses it.",
            read: { $0.dataFolder }, write: { $0.dataFolder = $1 }, check: { $0.isEmpty ? "must name a folder" : nil }),
        .choice(
            .server, "durability", \.durability,
            "What a `202` means: `full` (flushed to disk: survives power loss), `normal` (written: survives the end of the process) or `memory` (neither is waited for)."
        ),
        .number(
            .server, "drainSeconds", \.drainSeconds, .seconds, 0...3_600,
            "Time that sessions get to leave when the server stops."),
    ]

    static let network: [ConfigOption] = [
        .text(
            .network, "listen", "host:port",
            "Where to listen, such as `0.0.0.0:443` or `[::]:443`. Port 0 takes a free one.",
            read: { ($0.host.contains(":") ? "[\($0.host)]" : $0.host) + ":\($0.port)" },
            write: { configuration, text in
                guard let (host, port) = ServerConfiguration.address(text) else { return }
                configuration.host = host
                configuration.port = port
            },
            check: { ServerConfiguration.address($0) == nil ? "must be HOST:PORT, for example 127.0.0.1:8080" : nil }),
        .text(
            .network, "tls.certificate", "file",
            "PEM file with the certificate and those that vouch for it. With `tls.key` the listener speaks TLS only. Read again on SIGHUP and when it changes.",
            read: { $0.tls?.certificate }, write: { $0.tls = .init(certificate: $1, key: $0.tls?.key ?? "") }),
        .text(
            .network, "tls.key", "file", "PEM file with the private key of the certificate. Read again with it.",
            read: { $0.tls?.key }, write: { $0.tls = .init(certificate: $0.tls?.certificate ?? "", key: $1) }),
        .list(
            .network, "trustedProxies", of: "network", \.trustedProxies,
            "Networks such as `10.0.0.0/8` whose word on a client's address is taken (`X-Forwarded-For`, PROXY protocol). Nobody else's is.",
            check: { NetworkText.isNetwork($0) ? nil : "must be networks such as 10.0.0.0/8 or ::1/128; \"\($0)\" is none" }),
        .flag(
            .network, "proxyProtocol", \.proxyProtocol,
            "Whether a connection from a trusted proxy begins with a PROXY protocol header (version 1 or 2)."),
        .flag(
            .network, "http2", \.http2,
            "Whether HTTP/2 is spoken beside HTTP/1.1: where TLS agrees on it (ALPN), and in plain with clients that begin with it."),
        .list(
            .network, "origins", of: "origin", \.origins,
            "Origins of web pages that may use the API from a browser, such as `https://example.com`; `*` is all. The server's own always may.",
            check: {
                NetworkText.isOrigin($0) ? nil : "must be origins such as https://example.com, without a path; \"\($0)\" is none"
            }),
    ]

    static let protocols: [ConfigOption] = [
        .choice(
            .protocols, "websocket.compression", \.webSocketDeflate.mode,
            "permessage-deflate for WebSockets that ask for it: `off`, `shared` (messages stand for themselves; no memory per connection) or `context` (they refer to earlier ones; about 30 KB per connection)."
        ),
        .number(
            .protocols, "websocket.compressionLevel", \.webSocketDeflate.level, .count, 1...9, "1 is the fastest, 9 the smallest."),
        .number(
            .protocols, "websocket.compressionBytes", \.webSocketDeflate.leastBytes, .bytes, 16...1_048_576,
            "Messages with fewer bytes are not compressed."),
    ]

    static let logs: [ConfigOption] = [
        .choice(.logs, "log.level", \.logLevel, "The least severe lines that are written to standard error."),
        .choice(.logs, "log.format", \.logFormat, "Lines for people, or one JSON object a line."),
        .flag(.logs, "metrics.open", \.metricsOpen, "Whether `/metrics` needs no key. Otherwise a key with the scope `read` is needed."),
    ]

    static let tokens: [ConfigOption] = [
        .appText(
            "tokens.secret", "secret", \.tokens.secret,
            "The shared secret of HS256 tokens, 32 bytes or more. Only from the environment; a file of its own (`tokens.secretFile`) is better.",
            isSecret: true),
        .appText(
            "tokens.secretFile", "file", \.tokens.secretFile,
            "File with that secret and nothing else; a line end after it does not count. Only the server's user should be able to read it."),
        .appList(
            "tokens.publicKeys", of: "file", \.tokens.publicKeys, "PEM files with the public keys of ES256 and RS256 tokens."),
        .appText(
            "tokens.jwksURL", "url", \.tokens.jwksURL,
            "Where the key set (JWKS) of ES256 and RS256 tokens is fetched. It is kept while its server is away.",
            check: { NetworkText.isURL($0) ? nil : "must begin with https:// (or http://) and a host" }),
        .appText("tokens.issuer", "text", \.tokens.issuer, "The `iss` that a token must have; any if not set."),
        .appText("tokens.audience", "text", \.tokens.audience, "The `aud` that a token must have; if not set, tokens that have one are refused."),
        .appFlag(
            "tokens.requireExp", \.tokens.requireExp,
            "Whether a token must have an `exp`. Otherwise one without it is good until its user's tokens are revoked."),
        .appNumber(
            .tokens, "tokens.leewaySeconds", \.tokens.leewaySeconds, .seconds, 0...600,
            "Difference of clocks that is forgiven in `exp`, `nbf` and `iat`."),
    ]

    static let apps: [ConfigOption] = [
        .appNumber(
            .apps, "connections", \.connections, .count, 0...1_000_000, "Open connections of all users of the app; 0 is any number."),
        .appNumber(
            .apps, "publishRate", \.publishRate, .perSecond, 0...10_000_000,
            "Messages that all keys of the app may publish in a second; 0 is any number."),
    ]
}
