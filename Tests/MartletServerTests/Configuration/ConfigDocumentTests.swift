import MartletServer
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

@Suite struct ConfigDocumentTests {
    @Test func theReferenceIsCurrent() throws {
        let path = #filePath.split(separator: "/").dropLast(4).map { "/\($0)" }.joined() + "/docs/configuration.md"
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 262_144)
        let count = fread(&bytes, 1, bytes.count, file)
        let text = String(decoding: bytes[..<count], as: UTF8.self)
        #expect(
            text.trimming() == ConfigDocument.markdown.trimming(),
            "run `.build/release/martlet config doc > docs/configuration.md`")
    }

    @Test func theSampleIsTheDefaults() throws {
        let loaded = try load(ConfigDocument.sample)
        #expect(loaded.sentences == [])
        #expect(loaded.lines.allSatisfy { $0.place == "default" })
    }

    /// A line `#name: value` with its # away is an option that is set to its default.
    @Test func theSampleWithEveryOptionSetIsTheDefaults() throws {
        let lines = ConfigDocument.sample.split(separator: "\n", omittingEmptySubsequences: false).map { (line: Substring) -> String in
            guard let mark = line.firstIndex(of: "#"), let next = line[mark...].dropFirst().first, next.isLetter else { return String(line) }
            return "\(line[..<mark])\(line[mark...].dropFirst())"
        }
        let loaded = try load(lines.joined(separator: "\n"))
        #expect(loaded.sentences == [])
        #expect(loaded.lines.map(\.value) == (try load().lines.map(\.value)))
        for line in loaded.lines where line.value != nil && line.value != .list([]) {
            #expect(line.place != "default", "\(line.setting.key) is missing")
        }
    }

    @Test func namesAreTheSameEverywhere() {
        let settings = ConfigCatalog.settings(apps: ["Acme-1"])
        func names(_ key: String) -> [String]? {
            settings.first { $0.key == key }.map { [$0.environmentName, $0.flag] }
        }
        #expect(names("limits.messageBytes") == ["MARTLET_LIMITS_MESSAGE_BYTES", "--limits-message-bytes"])
        #expect(names("tokens.jwksURL") == ["MARTLET_TOKENS_JWKS_URL", "--tokens-jwks-url"])
        #expect(names("apps.Acme-1.tokens.secretFile") == ["MARTLET_APPS_ACME_1_TOKENS_SECRET_FILE", "--apps-Acme-1-tokens-secret-file"])
        #expect(Set(settings.map(\.flag)).count == settings.count)
        #expect(Set(settings.map(\.environmentName)).count == settings.count)
    }

    /// Every field of `Limits` is an option.
    @Test func everyLimitIsAnOption() {
        let fields = Mirror(reflecting: ServerConfiguration().limits).children.compactMap(\.label)
        let options = ConfigCatalog.all.map(\.name).filter { $0.hasPrefix("limits.") }.map { String($0.dropFirst(7)) }
        #expect(Set(fields) == Set(options))
    }
}

extension String {
    fileprivate func trimming() -> Substring {
        var text = self[...]
        while text.last?.isNewline == true { text = text.dropLast() }
        return text
    }
}
