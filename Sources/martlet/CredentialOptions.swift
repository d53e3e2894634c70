import ArgumentParser
import Foundation

/// What `publish` shows: an API key.
struct KeyOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The API key. (default: the variable MARTLET_KEY; other users of the machine see arguments)", valueName: "key"))
    var key: String?

    @Option(help: ArgumentHelp("A file with the API key.", valueName: "file"))
    var keyFile: String?

    /// - Throws: if the file cannot be read.
    func credential() throws -> String? { try Credential.find(self.key, file: self.keyFile, variable: "MARTLET_KEY") }
}

/// What `subscribe` shows: a client token.
struct TokenOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The client's token. (default: the variable MARTLET_TOKEN)", valueName: "token"))
    var token: String?

    @Option(help: ArgumentHelp("A file with the token; read again for each connection.", valueName: "file"))
    var tokenFile: String?

    var isGiven: Bool {
        self.token != nil || self.tokenFile != nil || ProcessInfo.processInfo.environment["MARTLET_TOKEN"]?.isEmpty == false
    }

    /// - Throws: if the file cannot be read.
    func credential() throws(ClientError) -> String? { try Credential.find(self.token, file: self.tokenFile, variable: "MARTLET_TOKEN") }
}

enum Credential {
    static func find(_ given: String?, file: String?, variable: String) throws(ClientError) -> String? {
        if let given { return given }
        if let file {
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
                throw ClientError(message: "the file \(file) cannot be read", isTemporary: false)
            }
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let text = ProcessInfo.processInfo.environment[variable]
        return text?.isEmpty == false ? text : nil
    }
}
