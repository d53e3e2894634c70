import ArgumentParser
import Foundation
import MartletServer

/// `martlet token`.
struct Token: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a client token (JWT), for trying.",
        discussion: """
            A back end makes tokens with a JWT library of its own; this one is for the terminal. HS256 with a secret, ES256 \
            with a private key. With neither it takes the secret, issuer and audience of the server's configuration, found \
            as `martlet serve` finds it.

            Examples:
              (umask 077; openssl rand -hex 32 > secret)
              martlet token --user alice --device a1 --secret-file secret
              martlet token --user alice --topic 'news/#' --topic 'chat/+=subscribe,publish' --secret-file secret
              martlet subscribe --token "$(martlet token --user alice --device a1 --secret-file secret)"
            """)

    @Option(help: "The user that it speaks for.")
    var user: String

    @Option(help: "The only device that it is good for. (default: any)")
    var device: String?

    @Option(help: "The app that it is for.")
    var app = "default"

    @Option(help: ArgumentHelp("For how long it is good, such as 1h, 30m or 7d. (default: 1h)", valueName: "time"))
    var expires: TimeSpan?

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "What it may do with topics: a pattern, =, and some of subscribe, publish, presence with commas between; without = subscribe. May be given several times. (default: what the namespace allows to all)",
            valueName: "pattern=actions"))
    var topic: [String] = []

    @Option(help: ArgumentHelp("The file of the shared secret, as the server has it.", valueName: "file"))
    var secretFile: String?

    @Option(help: ArgumentHelp("A private key in PEM, on the curve P-256.", valueName: "file"))
    var keyFile: String?

    @Option(help: ArgumentHelp("The server's configuration.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The `iss` to write.", valueName: "text"))
    var issuer: String?

    @Option(help: ArgumentHelp("The `aud` to write.", valueName: "text"))
    var audience: String?

    func validate() throws {
        guard !self.user.isEmpty else { throw ValidationError("--user must not be empty.") }
        guard self.secretFile == nil || self.keyFile == nil else {
            throw ValidationError("Give one of --secret-file and --key-file.")
        }
    }

    func run() async throws {
        var order = TokenDesk.Order()
        order.user = self.user
        order.device = self.device
        order.app = self.app
        order.seconds = self.expires?.seconds ?? 3_600
        order.topics = self.topic
        order.secretFile = self.secretFile
        order.keyFile = self.keyFile
        if self.secretFile == nil, self.keyFile == nil || self.config != nil { order.options = try self.configured() }
        if let issuer = self.issuer { order.options.issuer = issuer }
        if let audience = self.audience { order.options.audience = audience }
        do {
            try Output.line(try await TokenDesk.token(order).utf8)
        } catch {
            Output.status("\(error)")
            throw ExitCode.failure
        }
    }

    /// How the configured server checks the app's tokens.
    private func configured() throws -> ServerConfiguration.TokenOptions {
        let flags = ConfigFlags(self.config.map { ["--config", $0] } ?? [])
        let loaded = LoadedConfiguration.load(.init(flags: flags, environment: ProcessInfo.processInfo.environment))
        guard loaded.problems.isEmpty else {
            for problem in loaded.problems { Output.status(problem.description) }
            throw ExitCode.failure
        }
        return loaded.configuration.apps[self.app]?.tokens ?? .init()
    }
}
