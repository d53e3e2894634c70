import ArgumentParser
import NIOCore

/// What a client shows the broker, and how long it waits to be let in.
struct MQTTLogin: Sendable {
    var user: String?
    var password: String?
    var seconds: Int

    /// Says why a connection has failed that was not let in.
    var late: String { "the broker did not let a connection in within \(self.seconds) s" }

    /// Calls back if that takes too long.
    func watch(_ context: ChannelHandlerContext, _ late: @escaping () -> Void) {
        _ = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(Int64(self.seconds)), late)
    }
}

/// The same as options. Martlet takes a token or an API key as the password and looks at no user name.
struct MQTTLoginOptions: ParsableArguments {
    @OptionGroup var key: KeyOptions
    @OptionGroup var token: TokenOptions

    @Option(help: ArgumentHelp("The user name that all clients say. (default: martlet, if they have a password)", valueName: "name"))
    var user: String?

    @Option(
        help: ArgumentHelp(
            "The password of those who subscribe if there is no --token, and of those who publish if there is no --key.", valueName: "text"))
    var password: String?

    @Option(help: ArgumentHelp("Time until a connection that the broker does not let in has failed.", valueName: "seconds"))
    var connectTimeout = 30

    func validate() throws {
        guard (1...3_600).contains(self.connectTimeout) else { throw ValidationError("--connect-timeout must be from 1 to 3600.") }
    }

    /// - Throws: if a file of a credential cannot be read, or holds more than a packet takes.
    func subscribing() throws -> MQTTLogin { try self.login(try self.token.credential() ?? self.password ?? self.key.credential()) }

    /// - Throws: as ``subscribing()``.
    func publishing() throws -> MQTTLogin { try self.login(try self.key.credential() ?? self.password ?? self.token.credential()) }

    private func login(_ password: String?) throws -> MQTTLogin {
        for text in [self.user, password] where text?.utf8.count ?? 0 > 65_535 {
            throw ClientError(message: "a user name and a password have at most 65,535 bytes", isTemporary: false)
        }
        return MQTTLogin(user: self.user ?? (password == nil ? nil : "martlet"), password: password, seconds: self.connectTimeout)
    }
}
