import ArgumentParser
import Logging
import MartletServer

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// `martlet serve`: the server.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server.",
        discussion: """
            One process with an embedded store. In dev mode nothing needs a key and only this machine can connect:

              martlet serve --dev
              curl -N 'http://127.0.0.1:8080/v1/sse?user=alice&device=a1'
              curl -d '{"to":{"user":"alice"},"data":"hi"}' http://127.0.0.1:8080/v1/messages

            SIGTERM and SIGINT tell every session when to come back, take the acks that are under way, and stop.
            After a crash, start it again: there is nothing to repair.
            """)

    @Flag(help: "No keys, no tokens, loopback only: ?user=alice&device=a1 stands for a token.")
    var dev = false

    @Option(help: ArgumentHelp("Where to listen. Port 0 takes a free one.", valueName: "host:port"))
    var listen = "127.0.0.1:8080"

    @Option(help: ArgumentHelp("The folder of the store; created if there is none.", valueName: "folder"))
    var data = "martlet-data"

    @Option(
        help: ArgumentHelp(
            "What a 202 means: full (flushed to disk), normal (written), memory (neither).",
            valueName: "full|normal|memory"))
    var durability = "full"

    @Option(help: ArgumentHelp("Time that sessions get to leave when the server stops.", valueName: "seconds"))
    var drainSeconds = 10

    @Option(
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"),
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else {
                throw ValidationError("'\(text)' is not a log level: use trace, debug, info, notice, warning, error or critical.")
            }
            return level
        })
    var logLevel: Logger.Level = .info

    mutating func validate() throws {
        guard let (host, _) = ServerConfiguration.address(self.listen) else {
            throw ValidationError("'--listen \(self.listen)' is not HOST:PORT, for example 127.0.0.1:8080.")
        }
        guard ServerConfiguration.durabilities.contains(self.durability) else {
            throw ValidationError("'--durability \(self.durability)' must be full, normal or memory.")
        }
        guard !self.dev || ServerConfiguration.isLoopback(host) else {
            throw ValidationError(
                "--dev protects nothing, so it listens on loopback only: use --listen 127.0.0.1:PORT instead of \(self.listen).")
        }
        guard (0...3_600).contains(self.drainSeconds) else {
            throw ValidationError("--drain-seconds must be from 0 to 3600.")
        }
    }

    func run() async throws {
        var configuration = ServerConfiguration()
        if let (host, port) = ServerConfiguration.address(self.listen) {
            configuration.host = host
            configuration.port = port
        }
        configuration.dataFolder = self.data
        configuration.setDurability(self.durability)
        configuration.drainSeconds = self.drainSeconds
        configuration.isDev = self.dev
        configuration.logLevel = self.logLevel
        let level = self.logLevel
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        do {
            try await Server.main(configuration, logger: Logger(label: "martlet")) { url in
                print("listening on \(url)")
                fflush(nil)
            }
        } catch {
            Output.status("\(error)")
            throw ExitCode(1)
        }
    }
}
