package import Logging

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Writes each event as one line, whatever it holds: for people `time level message key=value …`, or one JSON object.
package struct LineLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let format: ServerConfiguration.LogFormat
    private let write: @Sendable ([UInt8]) -> Void
    private let wall: @Sendable () -> Int64

    /// Scalars of a message or value beyond which it is cut.
    static let maxLength = 2_000

    /// - Parameters:
    ///   - wall: Unix time in milliseconds.
    ///   - write: takes a whole line with its end; default writes to standard error.
    package init(
        format: ServerConfiguration.LogFormat, level: Logger.Level,
        wall: @escaping @Sendable () -> Int64 = { ServerClock.wallMs() },
        write: @escaping @Sendable ([UInt8]) -> Void = LineLogHandler.toStandardError
    ) {
        self.format = format
        self.logLevel = level
        self.wall = wall
        self.write = write
    }

    /// Makes every logger of the process write so. Call once, before the first.
    package static func bootstrap(format: ServerConfiguration.LogFormat, level: Logger.Level) {
        let handler = LineLogHandler(format: format, level: level)
        LoggingSystem.bootstrap { _ in handler }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields = self.metadata
        if let provided = self.metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let own = event.metadata { fields.merge(own) { $1 } }
        let pairs = fields.sorted { $0.key < $1.key }.map { ($0.key, LogText.cut("\($0.value)", to: Self.maxLength)) }
        let message = LogText.cut(event.message.description, to: Self.maxLength)
        let time = LogText.time(self.wall())
        let line =
            switch self.format {
            case .text: Self.text(time, event.level, message, pairs)
            case .json: Self.json(time, event.level, message, pairs)
            }
        self.write(Array(line.utf8) + [0x0a])
    }

    private static func text(
        _ time: String, _ level: Logger.Level, _ message: String, _ pairs: [(String, String)]
    ) -> String {
        var line = "\(time) \(level.rawValue)"
        // In columns, so that the eye finds the messages.
        for _ in level.rawValue.utf8.count..<8 { line += " " }
        line += " " + LogText.escaped(message)
        for (key, value) in pairs { line += " \(LogText.word(key))=\(LogText.value(value))" }
        return line
    }

    private static func json(
        _ time: String, _ level: Logger.Level, _ message: String, _ pairs: [(String, String)]
    ) -> String {
        let own = ["time", "level", "message"]
        let members =
            [("time", time), ("level", level.rawValue), ("message", message)]
            + pairs.map { (own.contains($0.0) ? "_" + $0.0 : $0.0, $0.1) }
        return "{" + members.map { "\(LogText.json($0.0)):\(LogText.json($0.1))" }.joined(separator: ",") + "}"
    }

    /// One call for a line, so that lines of several threads do not mix.
    package static func toStandardError(_ line: [UInt8]) {
        line.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                #if canImport(Glibc)
                let count = Glibc.write(2, bytes.baseAddress?.advanced(by: done), bytes.count - done)
                #else
                let count = Darwin.write(2, bytes.baseAddress?.advanced(by: done), bytes.count - done)
                #endif
                if count > 0 { done += count } else if errno != EINTR { return }
            }
        }
    }
}
