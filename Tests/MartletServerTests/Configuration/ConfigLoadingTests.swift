import MartletCore
import MartletServer
import Testing

@Suite struct ConfigLoadingTests {
    @Test func nothingGivenIsTheDefaults() throws {
        let loaded = try load()
        #expect(loaded.problems.isEmpty)
        #expect(loaded.lines.allSatisfy { $0.place == "default" })
        #expect(loaded.configuration.limits.messageBytes == Limits().messageBytes)
        #expect(loaded.configuration.host == "127.0.0.1")
    }

    @Test func everyDefaultIsWithinItsRangeAndAccepted() throws {
        let lines = try load().lines
        for line in lines {
            guard case .integer(_, let range) = line.setting.option.kind, case .integer(let number)? = line.value else { continue }
            #expect(range.contains(number), "\(line.setting.key)")
        }
        let numbers = lines.compactMap { line -> String? in
            guard case .integer(let number)? = line.value else { return nil }
            return "\(line.setting.key): \(number)\n"
        }
        #expect(try load(numbers.joined()).sentences == [])
    }

    @Test func aFlagCountsBeforeAVariableBeforeTheFile() throws {
        let yaml = "limits:\n  messageBytes: 1000\n  batchBytes: 2000\n  nameBytes: 30\n"
        let environment = ["MARTLET_LIMITS_MESSAGE_BYTES": "1100", "MARTLET_LIMITS_BATCH_BYTES": "2200"]
        let loaded = try load(yaml, environment: environment, "--limits-message-bytes", "1200")
        #expect(loaded.sentences == [])
        #expect(loaded.configuration.limits.messageBytes == 1_200)
        #expect(loaded.configuration.limits.batchBytes == 2_200)
        #expect(loaded.configuration.limits.nameBytes == 30)
        #expect(loaded.line("limits.messageBytes")?.place == "--limits-message-bytes")
        #expect(loaded.line("limits.batchBytes")?.place == "MARTLET_LIMITS_BATCH_BYTES")
        #expect(loaded.line("limits.nameBytes")?.place.hasSuffix(":4") == true)
    }

    @Test(arguments: [
        ("limits.messageBytes: 64KiB", 65_536), ("limits.messageBytes: 64 KiB", 65_536), ("limits.messageBytes: 64kB", 64_000),
        ("limits.messageBytes: 1MiB", 1_048_576), ("limits.messageBytes: 65_536", 65_536), ("limits: {messageBytes: 300B}", 300),
    ])
    func sizes(_ yaml: String, _ bytes: Int) throws {
        #expect(try load(yaml).configuration.limits.messageBytes == bytes)
    }

    @Test func times() throws {
        let yaml = "limits: {ttlDefaultSeconds: 90m, deviceUnseenSeconds: 100d, heartbeatMs: 7s, retryMinMs: 20ms}"
        let limits = try load(yaml).configuration.limits
        #expect(limits.ttlDefaultSeconds == 5_400)
        #expect(limits.deviceUnseenSeconds == 8_640_000)
        #expect(limits.heartbeatMs == 7_000)
        #expect(limits.retryMinMs == 20)
    }

    @Test func listsAreWrittenInAnySpelling() throws {
        let origins = ["https://a.example", "https://b.example"]
        #expect(try load("origins: [https://a.example, https://b.example]").configuration.origins == origins)
        #expect(try load("origins: https://a.example, https://b.example").configuration.origins == origins)
        #expect(try load(environment: ["MARTLET_ORIGINS": "https://a.example,https://b.example"]).configuration.origins == origins)
        #expect(try load(nil, "--origins", "https://a.example", "--origins=https://b.example").configuration.origins == origins)
    }

    @Test func flagsOfWhateverForm() throws {
        #expect(try load(nil, "--dev").configuration.isDev)
        #expect(try load(nil, "--dev", "--drain-seconds=3").configuration.drainSeconds == 3)
        #expect(try load(nil, "--dev=false").configuration.isDev == false)
        #expect(try load(nil, "--listen", "[::1]:9000").configuration.host == "::1")
        #expect(try load(nil, "--log-level", "debug").line("log.level")?.value == .text("debug"))
        #expect(try load(nil, "--durability=memory").line("durability")?.value == .text("memory"))
    }

    @Test func appsOfAnySpelling() throws {
        let yaml = "apps:\n  Acme-1:\n    publishRate: 5\n    tokens: {issuer: me}\n  default:\n    connections: 3\n    tokens: {audience: all}\n"
        let environment = ["MARTLET_APPS_ACME_1_CONNECTIONS": "7", "MARTLET_APPS_OTHER_TOKENS_LEEWAY_SECONDS": "2"]
        let loaded = try load(yaml, environment: environment, "--apps-third-publish-rate", "9", "--tokens-issuer", "us")
        #expect(loaded.sentences == [])
        let apps = loaded.configuration.apps
        #expect(apps.keys.sorted() == ["Acme-1", "default", "other", "third"])
        #expect(apps["Acme-1"]?.publishRate == 5)
        #expect(apps["Acme-1"]?.connections == 7)
        #expect(apps["Acme-1"]?.tokens.issuer == "me")
        #expect(apps["default"]?.connections == 3)
        #expect(apps["default"]?.tokens.audience == "all")
        #expect(apps["default"]?.tokens.issuer == "us")
        #expect(apps["other"]?.tokens.leewaySeconds == 2)
        #expect(apps["third"]?.publishRate == 9)
    }

    @Test func anEndOfTokensIsRequiredPerApp() throws {
        #expect(try load().configuration.apps["default"]?.tokens.requireExp == false)
        #expect(try load("tokens.requireExp: true\n").configuration.apps["default"]?.tokens.requireExp == true)
        #expect(try load(nil, "--tokens-require-exp").configuration.apps["default"]?.tokens.requireExp == true)
        let loaded = try load(
            "apps:\n  acme:\n    tokens: {requireExp: true}\n", environment: ["MARTLET_APPS_OTHER_TOKENS_REQUIRE_EXP": "true"])
        #expect(loaded.sentences == [])
        let apps = loaded.configuration.apps
        #expect(apps["acme"]?.tokens.requireExp == true)
        #expect(apps["other"]?.tokens.requireExp == true)
        #expect(apps["default"]?.tokens.requireExp == false)
        #expect(try load("tokens.requireExp: sometimes\n").sentences.count == 1)
    }

    @Test func variablesOfOthersAreLeftAlone() throws {
        let environment = [
            "MARTLET_KEY": "mk_x", "MARTLET_TOKEN": "x", "MARTLET_URL": "http://x", "MARTLET_SERVICE_HOST": "10.0.0.1",
            "MARTLET_PORT": "tcp://10.0.0.1:80", "MARTLET_PORT_80_TCP": "tcp://10.0.0.1:80", "HOME": "/",
        ]
        #expect(try load(environment: environment).sentences == [])
    }

    @Test func aSecretIsReadFromAFileOfItsOwn() throws {
        let secret = String(repeating: "s", count: 32)
        let file = try temporaryFile(secret + "\n", mode: 0o600)
        let loaded = try load("tokens:\n  secretFile: \(file)\n")
        #expect(loaded.sentences == [])
        #expect(loaded.warnings.isEmpty)
        #expect(loaded.configuration.apps["default"]?.tokens.secret == secret)
        let open = try load("tokens:\n  secretFile: \(try temporaryFile(secret, mode: 0o644))\n")
        #expect(open.warnings.count == 1)
        #expect(open.warnings.first?.contains("chmod o-r") == true)
    }

    @Test func aSecretIsNeverPrinted() throws {
        let secret = "0123456789abcdef0123456789abcdef"
        let loaded = try load(environment: ["MARTLET_TOKENS_SECRET": secret, "MARTLET_APPS_X_TOKENS_SECRET": secret])
        #expect(loaded.sentences == [])
        #expect(loaded.configuration.apps["x"]?.tokens.secret == secret)
        for text in [ConfigListing.text(loaded), ConfigListing.json(loaded)] {
            #expect(!text.contains(secret))
            #expect(text.contains("<set>"))
        }
    }

    @Test func whatIsPrintedIsReadAgain() throws {
        let loaded = try load("limits.nameBytes: 40\norigins: ['*', 'https://x.example']\ntokens.issuer: 'a: b'\n", "--listen", "[::1]:80")
        let again = try load(ConfigListing.text(loaded))
        #expect(again.sentences == [])
        #expect(again.lines.map(\.value) == loaded.lines.map(\.value))
    }
}
