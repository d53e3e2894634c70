import MartletCore

/// What only shows when the options are looked at together, and the files that they name.
enum ConfigChecks {
    static func run(_ loaded: inout LoadedConfiguration) {
        self.network(&loaded)
        self.listeners(&loaded)
        self.tokens(&loaded)
        self.limits(&loaded)
        self.bridges(&loaded)
    }

    private static func network(_ loaded: inout LoadedConfiguration) {
        let configuration = loaded.configuration
        let isLoopback = ServerConfiguration.isLoopback(configuration.host)
        if configuration.isDev, !isLoopback {
            loaded.refuse(
                "listen",
                "dev mode protects nothing, so it listens on loopback only: use 127.0.0.1:\(configuration.port), or leave out dev.")
        }
        if let tls = configuration.tls {
            if tls.key.isEmpty { loaded.refuse("tls.certificate", "a certificate needs its key: set tls.key.") }
            if tls.certificate.isEmpty { loaded.refuse("tls.key", "a key needs its certificate: set tls.certificate.") }
            loaded.readable(tls.certificate, "tls.certificate")
            loaded.readable(tls.key, "tls.key", isSecret: true)
        } else if !isLoopback, configuration.trustedProxies.isEmpty {
            loaded.warnings.append(
                "listening on \(configuration.host) without TLS: keys, tokens and messages can be read on the way. Set tls.certificate and tls.key, or put a proxy before it and name it in trustedProxies."
            )
        }
        if configuration.proxyProtocol, configuration.trustedProxies.isEmpty {
            loaded.refuse("proxyProtocol", "nobody's PROXY header would be believed: name the proxies in trustedProxies.")
        }
        if configuration.trustedProxies.contains(where: { $0.hasSuffix("/0") }) {
            loaded.warnings.append("trustedProxies holds every address: anybody may claim to be anybody. Name your proxies only.")
        }
    }

    private static func tokens(_ loaded: inout LoadedConfiguration) {
        for (app, options) in loaded.configuration.apps.sorted(by: { $0.key < $1.key }) {
            func key(_ name: String) -> String { app == ConfigCatalog.defaultApp ? name : "apps.\(app).\(name)" }
            let tokens = options.tokens
            var secret = tokens.secret
            if let file = tokens.secretFile {
                if secret != nil {
                    loaded.refuse(key("tokens.secret"), "is given twice: leave out \(key("tokens.secretFile")) or the variable.")
                } else {
                    secret = loaded.readable(file, key("tokens.secretFile"), isSecret: true).map(self.withoutLineEnd)
                    loaded.configuration.apps[app]?.tokens.secret = secret
                }
            }
            if let secret, secret.utf8.count < 32 {
                loaded.refuse(
                    key(tokens.secretFile == nil ? "tokens.secret" : "tokens.secretFile"),
                    "the secret has \(secret.utf8.count) bytes; HS256 needs 32 or more (try `openssl rand -base64 48`).")
            }
            for file in tokens.publicKeys {
                if loaded.readable(file, key("tokens.publicKeys"))?.contains("PRIVATE KEY") == true {
                    loaded.refuse(key("tokens.publicKeys"), "\(file) holds a private key: the server needs only the public one.")
                }
            }
            if loaded.configuration.isDev, secret != nil || tokens.jwksURL != nil || !tokens.publicKeys.isEmpty {
                loaded.warnings.append(
                    "dev mode needs no tokens (\(key("tokens"))): who shows none is whom ?user= and ?device= name. A token that is shown is checked, and counts."
                )
            }
            if let url = tokens.jwksURL, url.hasPrefix("http://") {
                loaded.warnings.append("\(key("tokens.jwksURL")) is not https: who can change its answer on the way can make tokens.")
            }
        }
    }

    static func withoutLineEnd(_ text: String) -> String {
        String(text.reversed().drop { $0.isNewline }.reversed())
    }

    private static func limits(_ loaded: inout LoadedConfiguration) {
        let limits = loaded.configuration.limits
        let pairs: [(low: String, isBroken: Bool, high: String)] = [
            ("limits.messageBytes", limits.messageBytes > limits.batchBytes, "limits.batchBytes"),
            ("limits.messageBytes", limits.messageBytes > limits.inboxBytes, "limits.inboxBytes"),
            ("limits.messageBytes", limits.messageBytes > limits.topicMemoryBytes, "limits.topicMemoryBytes"),
            ("limits.messageBytes", limits.messageBytes > limits.queueBytes, "limits.queueBytes"),
            ("limits.ttlDefaultSeconds", limits.ttlDefaultSeconds > limits.ttlMaxSeconds, "limits.ttlMaxSeconds"),
            ("limits.windowMessages", limits.windowMessages > limits.windowMessagesMax, "limits.windowMessagesMax"),
            ("limits.heartbeatMinMs", limits.heartbeatMinMs > limits.heartbeatMaxMs, "limits.heartbeatMaxMs"),
            ("limits.heartbeatMinMs", limits.heartbeatMinMs > limits.heartbeatMs, "limits.heartbeatMs"),
            ("limits.heartbeatMs", limits.heartbeatMs > limits.heartbeatMaxMs, "limits.heartbeatMaxMs"),
            ("limits.retryMinMs", limits.retryMinMs > limits.retryMaxMs, "limits.retryMaxMs"),
        ]
        for pair in pairs where pair.isBroken {
            let culprit = loaded.place(of: pair.low) == nil ? pair.high : pair.low
            loaded.refuse(culprit, "\(pair.low) may not be larger than \(pair.high).")
        }
    }
}

extension LoadedConfiguration {
    mutating func refuse(_ key: String, _ text: String) {
        let place = self.place(of: key)
        self.problems.append(.init(place: place ?? key, text: text))
    }

    /// Reads a file that an option names; the file stays as it is.
    @discardableResult
    mutating func readable(_ path: String, _ key: String, isSecret: Bool = false) -> String? {
        guard !path.isEmpty else { return nil }
        do throws(ConfigProblem) {
            let text = try TextFile.read(path)
            if isSecret, FileStatus.isOpenToAll(path) {
                self.warnings.append("\(path) (\(key)) can be read by every user of this machine: chmod o-r \(path)")
            }
            return text
        } catch {
            self.refuse(key, "\(path): \(error.text)")
            return nil
        }
    }
}
