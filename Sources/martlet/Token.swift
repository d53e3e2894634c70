import ArgumentParser
import MartletServer

/// `martlet token`.
struct Token: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a client token (JWT), for trying.",
        discussion: """
            A back end makes tokens with a JWT library of its own; this one is for the terminal. HS256 with a secret, ES256 \
            with a private key.

            Examples:
              openssl rand -hex 32 > secret
              martlet token --user alice --device a1 --secret-file secret
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

    @Option(help: ArgumentHelp("The file of the shared secret, as the server has it.", valueName: "file"))
    var secretFile: String?

    @Option(help: ArgumentHelp("A private key in PEM, on the curve P-256.", valueName: "file"))
    var keyFile: String?

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
        order.secretFile = self.secretFile
        order.keyFile = self.keyFile
        order.options.issuer = self.issuer
        order.options.audience = self.audience
        do {
            try Output.line(try await TokenDesk.token(order).utf8)
        } catch {
            Output.status("\(error)")
            throw ExitCode.failure
        }
    }
}
