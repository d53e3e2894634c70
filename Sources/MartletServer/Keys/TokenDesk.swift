import MartletAccess
import MartletCore

/// Makes client tokens for the command line.
package enum TokenDesk {
    /// What a token says and who signs it. One of the last three, or several: a file counts before the options.
    package struct Order: Sendable {
        package var user = ""
        package var device: String?
        package var app = "default"
        /// For how long it is good.
        package var seconds: Int64 = 3_600
        /// `PATTERN=ACTIONS` with commas between the actions; the pattern alone is for subscribing. None leaves the claim out.
        package var topics: [String] = []
        package var secretFile: String?
        package var keyFile: String?
        /// Of the server that shall take it: secret, issuer and audience.
        package var options = ServerConfiguration.TokenOptions()

        package init() {}
    }

    /// - Throws: one sentence that says what to do.
    package static func token(_ order: Order) async throws -> String {
        let now = ServerClock.wallMs() / 1_000
        var claims = TokenMaker.Claims(user: order.user, issuedAt: now, expiresAt: now + order.seconds)
        claims.device = order.device
        claims.app = order.app == DefaultNames.app ? nil : order.app
        claims.issuer = order.options.issuer
        claims.audience = order.options.audience
        if !order.topics.isEmpty { claims.topics = try order.topics.map { try self.rule($0) } }
        return try await TokenMaker.token(claims, try self.signer(order))
    }

    private static func rule(_ text: String) throws -> TopicRights.Rule {
        // A pattern may hold a = itself.
        let parts = text.lastIndex(of: "=").map { (text[..<$0], text[text.index(after: $0)...]) } ?? (text[...], "subscribe")
        var actions: TopicRights.Actions = []
        for name in parts.1.split(separator: ",", omittingEmptySubsequences: false) {
            guard let action = TopicRights.Actions(name: name.filter { $0 != " " }) else {
                throw StartError("--topic \(text): \"\(name)\" is none of subscribe, publish, presence.")
            }
            actions.insert(action)
        }
        if let problem = topicProblem(String(parts.0), Limits(), wildcards: true) { throw StartError("--topic \(text): the pattern \(problem).") }
        return .init(pattern: try TopicFilter(parsing: String(parts.0), limits: Limits()), actions: actions)
    }

    private static func signer(_ order: Order) throws -> TokenMaker.Signer {
        if let file = order.keyFile {
            return .privateKey(pem: try self.read(file))
        }
        if let file = order.secretFile {
            var secret = Array(try self.read(file).utf8)
            while let last = secret.last, last == 0x0a || last == 0x0d { secret.removeLast() }
            return .secret(secret)
        }
        if let secret = order.options.secret { return .secret(Array(secret.utf8)) }
        throw StartError(
            "Say what signs the token: --secret-file FILE, --key-file FILE.pem, or a configuration with tokens.secretFile.")
    }

    private static func read(_ file: String) throws -> String {
        do throws(ConfigProblem) {
            return try TextFile.read(file)
        } catch {
            throw StartError("The file \(file) \(error.text)")
        }
    }
}
