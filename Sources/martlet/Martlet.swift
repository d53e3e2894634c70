import ArgumentParser
import MartletServer

/// The one program: server and client.
@main struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "A push server that never loses a message in the air, and its command line client.",
        discussion: """
            Try it in three terminals:

              martlet serve --dev
              martlet subscribe --user alice --device a1
              martlet publish --user alice '{"hello":"world"}'
            """,
        version: Version.text,
        subcommands: [
            Serve.self, Config.self, Key.self, App.self, Token.self, Publish.self, Subscribe.self, Top.self, Bench.self, Backup.self,
            Restore.self, DoctorCommand.self, Version.self,
        ]
    )
}

/// `martlet version`.
struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version.")
    static let text = "martlet \(BuildInfo.version)"

    func run() throws {
        try Output.line(Self.text.utf8)
    }
}
