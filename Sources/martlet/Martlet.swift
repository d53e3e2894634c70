import ArgumentParser

@main struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(subcommands: [Serve.self])
}
