import MartletServer
import Testing

@Suite struct ConfigProblemTests {
    @Test(arguments: [
        ("limits:\n  mesageBytes: 5", ":2: limits.mesageBytes is not an option: did you mean limits.messageBytes?"),
        ("limit:\n  messageBytes: 500", ":1: limit is not an option: did you mean limits?"),
        ("\nmessageBytes: 500", ":2: messageBytes is not an option: did you mean limits.messageBytes?"),
        ("lisetn: 127.0.0.1:80", ":1: lisetn is not an option: did you mean listen?"),
        ("something: else", ":1: something is not an option: `martlet config doc` lists all."),
        ("apps:\n  acme:\n    tokens:\n      isuer: x", ":4: apps.acme.tokens.isuer is not an option: did you mean apps.acme.tokens.issuer?"),
        ("limits.messageBytes: 5", ":1: limits.messageBytes must be from 256 to 16777216 bytes (256 to 16MiB); 5 is not."),
        ("limits.batchMessages: 0", ":1: limits.batchMessages must be from 1 to 100000; 0 is not."),
        ("limits.publishRate: -1", ":1: limits.publishRate must be from 0 to 1000000 a second; -1 is not."),
        ("drainSeconds: soon", ":1: drainSeconds must be a number of seconds such as 30, or 30s, 5m, 12h, 90d; \"soon\" is not."),
        (
            "limits.messageBytes: 9999999999999GiB",
            ":1: limits.messageBytes must be a number of bytes such as 65536, 64KiB or 8MiB; \"9999999999999GiB\" is not."
        ),
        ("durability: fast", ":1: durability must be full, normal or memory; \"fast\" is not."),
        ("dev: maybe", ":1: dev must be true or false; \"maybe\" is not."),
        ("listen: 8080", ":1: listen must be HOST:PORT, for example 127.0.0.1:8080."),
        ("listen:", ":1: listen has no value: give it one, or put a # before the line."),
        ("listen: [a]", ":1: listen is one value, not a list or a section."),
        ("log: loud", ":1: log is a section: its options stand below it, indented."),
        ("origins: {a: b}", ":1: origins is a list of texts, such as [origin]."),
        ("origins: [https://a/b]", ":1: origins must be origins such as https://example.com, without a path; \"https://a/b\" is none."),
        ("trustedProxies: [10.0.0.0/33]", ":1: trustedProxies must be networks such as 10.0.0.0/8 or ::1/128; \"10.0.0.0/33\" is none."),
        (
            "tokens:\n  secret: abc",
            ":2: tokens.secret may not stand in this file: put it into a file of its own, and name that with tokens.secretFile."
        ),
        ("limits.nameBytes: 20\nlimits: {nameBytes: 30}", ":2: limits.nameBytes is given twice."),
        ("dev: true\ndev: true", ":1: given twice in this section: dev."),
        ("apps:\n  a b:\n    connections: 3", ":3: an app's name has 1 to 64 letters, digits, - and _: \"a b\" is none."),
        ("- a", ":1: the file must hold options, such as `listen: 127.0.0.1:8080`."),
    ])
    func inTheFile(_ yaml: String, _ sentence: String) throws {
        #expect(try load(yaml).sentences == [sentence])
    }

    @Test(arguments: [
        (["--lisen", "x"], "--lisen is not an option: did you mean --listen?"),
        (["--limits-mesage-bytes=3"], "--limits-mesage-bytes is not an option: did you mean --limits-message-bytes?"),
        (["--listen"], "--listen needs a value after it."),
        (["--listen", "--dev"], "--listen needs a value after it."),
        (
            ["--tokens-secret", "x"],
            "--tokens-secret would be seen by every user of this machine: use --tokens-secret-file, or the variable MARTLET_TOKENS_SECRET."
        ),
        (["--drain-seconds", "4000"], "--drain-seconds: drainSeconds must be from 0 to 3600 seconds (0 to 1h); 4000 is not."),
    ])
    func inFlags(_ arguments: [String], _ sentence: String) {
        let loaded = LoadedConfiguration.load(.init(flags: ConfigFlags(arguments), environment: ["MARTLET_DEV": "0"]))
        #expect(loaded.sentences == [sentence])
    }

    @Test func inVariables() throws {
        #expect(
            try load(environment: ["MARTLET_LIMITS_MESAGE_BYTES": "3"]).sentences
                == ["MARTLET_LIMITS_MESAGE_BYTES is not an option: did you mean MARTLET_LIMITS_MESSAGE_BYTES?"])
        #expect(try load(environment: ["MARTLET_LISTEN": "x"]).sentences == ["MARTLET_LISTEN: listen must be HOST:PORT, for example 127.0.0.1:8080."])
    }

    @Test func allAtOnce() throws {
        let loaded = try load("listn: 3\ndurability: fast\n", environment: ["MARTLET_DRAIN_SECONDS": "x"], "--nope", "1")
        #expect(loaded.problems.count == 4)
    }

    @Test(arguments: [
        ("dev: true\nlisten: 0.0.0.0:80", ":2: dev mode protects nothing, so it listens on loopback only: use 127.0.0.1:80, or leave out dev."),
        ("limits.batchBytes: 1KiB", ":1: limits.messageBytes may not be larger than limits.batchBytes."),
        ("limits:\n  retryMinMs: 4s", ":2: limits.retryMinMs may not be larger than limits.retryMaxMs."),
        ("limits:\n  windowMessages: 2000", ":2: limits.windowMessages may not be larger than limits.windowMessagesMax."),
        ("limits: {ttlMaxSeconds: 60}", ":1: limits.ttlDefaultSeconds may not be larger than limits.ttlMaxSeconds."),
        ("proxyProtocol: true", ":1: nobody's PROXY header would be believed: name the proxies in trustedProxies."),
        ("tokens.secretFile: /nonexistent/x", ":1: /nonexistent/x: there is no such file."),
        ("tokens.publicKeys: [/nonexistent/x]", ":1: /nonexistent/x: there is no such file."),
        ("tls.certificate: /dev/null", ":1: a certificate needs its key: set tls.key."),
        ("tls: {key: /dev/null}", ":1: a key needs its certificate: set tls.certificate."),
    ])
    func together(_ yaml: String, _ sentence: String) throws {
        #expect(try load(yaml).sentences == [sentence])
    }

    @Test func aShortSecretIsRefused() throws {
        let sentence = "MARTLET_TOKENS_SECRET: the secret has 5 bytes; HS256 needs 32 or more (try `openssl rand -base64 48`)."
        #expect(try load(environment: ["MARTLET_TOKENS_SECRET": "short"]).sentences == [sentence])
        let file = try temporaryFile("short\n", mode: 0o600)
        #expect(try load("tokens.secretFile: \(file)").problems.count == 1)
    }

    @Test func withoutTLSBeyondLoopbackIsWarnedAbout() throws {
        #expect(try load("listen: 0.0.0.0:80").warnings.count == 1)
        #expect(try load("listen: 0.0.0.0:80\ntrustedProxies: [10.0.0.1]").warnings.isEmpty)
        #expect(try load("listen: 127.0.0.1:80").warnings.isEmpty)
        #expect(try load("trustedProxies: [0.0.0.0/0]").warnings.count == 1)
    }

    @Test func aMissingFileIsAProblem() {
        let loaded = LoadedConfiguration.load(.init(flags: ConfigFlags(["--config", "/nonexistent/m.yaml"]), environment: [:]))
        #expect(loaded.problems.map(\.description) == ["/nonexistent/m.yaml: there is no such file."])
    }

    @Test func theFileIsLookedForInOrder() throws {
        let file = try temporaryFile("", mode: 0o600)
        func chosen(_ arguments: [String], _ environment: [String: String] = [:]) -> String? {
            var input = ConfigInput(flags: ConfigFlags(arguments), environment: environment)
            input.usualFile = file
            return input.file
        }
        #expect(chosen([]) == file)
        #expect(chosen(["--dev"]) == nil)
        #expect(chosen([], ["MARTLET_DEV": "true"]) == nil)
        #expect(chosen(["--dev"], ["MARTLET_CONFIG": "b"]) == "b")
        #expect(chosen(["--config", "a"], ["MARTLET_CONFIG": "b"]) == "a")
    }
}
