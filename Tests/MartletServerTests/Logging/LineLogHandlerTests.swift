import Logging
import MartletServer
import Synchronization
import Testing

struct LineLogHandlerTests {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
        func take(_ line: [UInt8]) { self.all.withLock { $0.append(String(decoding: line, as: UTF8.self)) } }
    }

    private let lines = Lines()

    private func logger(_ format: ServerConfiguration.LogFormat, level: Logger.Level = .info) -> Logger {
        let handler = LineLogHandler(
            format: format, level: level, wall: { 1_763_690_947_123 }, write: { [lines] in lines.take($0) })
        return Logger(label: "test") { _ in handler }
    }

    private var written: [String] { self.lines.all.withLock { $0 } }

    @Test func textIsTimeLevelMessageAndPairs() {
        self.logger(.text).info("ready", metadata: ["tls": "false", "address": "127.0.0.1:8080", "note": "two words", "empty": ""])
        self.logger(.text).warning("slow")
        #expect(
            self.written == [
                "2025-11-21T02:09:07.123Z info     ready address=127.0.0.1:8080 empty=\"\" note=\"two words\" tls=false\n",
                "2025-11-21T02:09:07.123Z warning  slow\n",
            ])
    }

    @Test func jsonIsOneObject() {
        self.logger(.json).error("store unavailable", metadata: ["error": "disk \"full\"\\", "message": "other"])
        #expect(
            self.written == [
                #"{"time":"2025-11-21T02:09:07.123Z","level":"error","message":"store unavailable","error":"disk \"full\"\\","_message":"other"}"#
                    + "\n"
            ])
    }

    @Test func belowTheLevelNothingIsWritten() {
        let logger = self.logger(.text, level: .warning)
        logger.info("not this")
        logger.warning("this")
        #expect(self.written.count == 1)
    }

    /// What a peer could send to end a line, begin another, or steer the operator's terminal.
    private static let hostile = [
        "a\nb", "a\r\nb", "a\rb", "a\u{0}b", "a\u{1b}[2Jb", "a\u{7f}b", "a\u{85}b", "a\u{9b}31mb", "a\u{2028}b", "a\u{2029}b",
        "a\u{202e}b", "a\" level=critical b=\"", "a\\", "2025-11-21T02:09:07.123Z critical fake",
    ]

    @Test(arguments: [ServerConfiguration.LogFormat.text, .json], Self.hostile)
    func nothingBreaksOutOfALine(format: ServerConfiguration.LogFormat, text: String) throws {
        self.logger(format).info("\(text)", metadata: ["value": "\(text)", "\(text)": "key", "list": ["\(text)", "x"]])
        let line = try #require(self.written.first)
        #expect(self.written.count == 1)
        let body = line.dropLast()
        #expect(line.hasSuffix("\n"))
        #expect(body.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) })
        #expect(!body.unicodeScalars.contains { (0x2028...0x202e).contains($0.value) })
        #expect(body.hasPrefix(format == .text ? "2025-11-21T02:09:07.123Z info     " : #"{"time":"2025-11-21T02:09:07.123Z","level":"info","#))
        // A quoted value stays quoted.
        if format == .text { #expect(!body.contains(" level=critical ") || body.contains("\\\" level=critical ")) }
    }

    @Test func longTextsAreCut() throws {
        self.logger(.text).info("m", metadata: ["value": "\(String(repeating: "x", count: 100_000))"])
        #expect(try #require(self.written.first).utf8.count < 2_100)
    }
}
