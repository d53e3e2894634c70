import ArgumentParser
import Foundation
import Logging
import MartletServer

/// `martlet serve`: the server.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the server.",
        usage: "martlet serve [--config <file>] [any option as a flag]",
        discussion: """
            One process with an embedded store. In dev mode nothing needs a key, only this machine can connect, and it \
            answers only to localhost, *.localhost, 127.0.0.0/8 and [::1], so that no web page elsewhere can use it:

              martlet serve --dev
              curl -N 'http://127.0.0.1:8080/v1/sse?user=alice&device=a1'
              curl -d '{"to":{"user":"alice"},"data":"hi"}' 127.0.0.1:8080/v1/messages

            In production it reads a file, /etc/martlet/martlet.yaml unless --config or MARTLET_CONFIG names another:

              martlet config default > martlet.yaml
              martlet config check martlet.yaml
              martlet serve --config martlet.yaml

            Every option is a flag, a variable and a key of the file: \
            --limits-message-bytes, MARTLET_LIMITS_MESSAGE_BYTES, limits.messageBytes. A flag counts before a variable, a \
            variable before the file. `martlet config print` says what applies, and why.

            SIGTERM and SIGINT tell every session when to come back, take the acks that are under way, and stop. \
            SIGHUP reads the TLS certificate and key again. After a crash, start it again: there is nothing to repair.

            OPTIONS
              --config <file>
                    The YAML file.
            \(ConfigDocument.flags)
            """)

    @Argument(parsing: .captureForPassthrough, help: .hidden)
    var options: [String] = []

    func run() async throws {
        let flags = ConfigFlags(self.options)
        if flags.wantsHelp { throw CleanExit.helpRequest(self) }
        if let word = flags.rest.first {
            throw ValidationError("'\(word)' is not expected: options begin with --.")
        }
        let loaded = LoadedConfiguration.load(.init(flags: flags, environment: ProcessInfo.processInfo.environment))
        guard loaded.problems.isEmpty else {
            for problem in loaded.problems { Output.status(problem.description) }
            throw ExitCode(1)
        }
        let configuration = loaded.configuration
        LineLogHandler.bootstrap(format: configuration.logFormat, level: configuration.logLevel)
        let logger = Logger(label: "martlet")
        for warning in loaded.warnings { logger.warning("configuration", metadata: ["warning": "\(warning)"]) }
        do {
            try await Server.main(configuration, logger: logger) { url in
                print("listening on \(url)")
                fflush(nil)
            }
        } catch {
            Output.status("\(error)")
            throw ExitCode(1)
        }
    }
}
