import MartletAccess

/// Makes client tokens for the command line.
package enum TokenDesk {
    /// What a token says and who signs it. One of the last three, or several: a file counts before the options.
    package struct Order: Sendable {
        package var user = ""
        package var device: String?
        package var app = "default"
        /// For how long it is good.
        package var seconds: Int64 = 3_600
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
        return try await TokenMaker.token(claims, try self.signer(order))
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
