import ArgumentParser
import Foundation
import MartletServer

/// `martlet config`: what the server is told.
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check, print and document the server's configuration.",
        discussion: """
            A new file, checked, with what applies in the end:

              martlet config default > martlet.yaml
              martlet config check martlet.yaml
              martlet config print --config martlet.yaml --limits-message-bytes 1MiB
            """,
        subcommands: [Check.self, Print.self, Doc.self, Default.self]
    )

    /// Prints a text, or nothing if nobody reads it.
    static func show(_ text: String) throws {
        Output.ignoreBrokenPipes()
        try? Output.line((text.hasSuffix("\n") ? text.dropLast() : text[...]).utf8)
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read the configuration as the server would, and say every mistake at once.",
            usage: "martlet config check [<file>] [any option of serve as a flag]",
            discussion: "Without a file, the one that `martlet serve` would read. Exits with 1 if there is a mistake.")

        @Argument(parsing: .captureForPassthrough, help: .hidden)
        var options: [String] = []

        func run() async throws {
            var flags = ConfigFlags(self.options)
            if flags.wantsHelp { throw CleanExit.helpRequest(self) }
            if let file = flags.rest.first { flags.file = file }
            if flags.rest.count > 1 { throw ValidationError("One file at a time.") }
            var loaded = LoadedConfiguration.load(.init(flags: flags, environment: ProcessInfo.processInfo.environment))
            await loaded.tryStart()
            for warning in loaded.warnings { Output.status("warning: \(warning)") }
            for problem in loaded.problems { Output.status(problem.description) }
            guard loaded.problems.isEmpty else { throw ExitCode(1) }
            try Config.show("ok: \(loaded.summary)")
        }
    }

    struct Print: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the values that apply, each with where it comes from.",
            usage: "martlet config print [--json] [--config <file>] [any option of serve as a flag]",
            discussion: "Secrets are shown as <set>.")

        @Argument(parsing: .captureForPassthrough, help: .hidden)
        var options: [String] = []

        func run() throws {
            let flags = ConfigFlags(self.options.filter { $0 != "--json" })
            if flags.wantsHelp { throw CleanExit.helpRequest(self) }
            if let word = flags.rest.first { throw ValidationError("'\(word)' is not expected: name a file with --config.") }
            let loaded = LoadedConfiguration.load(.init(flags: flags, environment: ProcessInfo.processInfo.environment))
            try Config.show(self.options.contains("--json") ? ConfigListing.json(loaded) : ConfigListing.text(loaded))
            for problem in loaded.problems { Output.status(problem.description) }
            guard loaded.problems.isEmpty else { throw ExitCode(1) }
        }
    }

    struct Doc: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the reference of all options, as Markdown.")

        func run() throws { try Config.show(ConfigDocument.markdown) }
    }

    struct Default: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a file with every option, commented out.")

        func run() throws { try Config.show(ConfigDocument.sample) }
    }
}
