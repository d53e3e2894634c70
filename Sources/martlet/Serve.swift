import ArgumentParser

/// `martlet serve`.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the server.")

    func run() async throws {
        throw ValidationError("The server is not part of this build yet.")
    }
}
