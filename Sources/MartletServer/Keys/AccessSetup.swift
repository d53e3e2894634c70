import Logging
import MartletAccess
import MartletCore
import MartletStoreSQLite
import NIOCore

/// Keys, tokens and namespaces, as the configuration says.
struct AccessSetup {
    let directory: SQLiteDirectory
    let service: AccessService
    let namespaces: Namespaces
    /// What the configuration says of each app that it names.
    let quotas: [AppID: ServerConfiguration.AppOptions]

    /// - Throws: one sentence for the operator.
    static func start(
        _ configuration: ServerConfiguration, group: any EventLoopGroup, logger: Logger
    ) async throws -> AccessSetup {
        var rules: [String: TokenRules] = [:]
        for (app, options) in configuration.apps { rules[app] = try self.rules(options.tokens) }
        let directory = try SQLiteDirectory(
            folder: configuration.dataFolder, apps: Array(configuration.apps.keys), nowMs: ServerClock.wallMs(), logger: logger)
        do {
            let service = try await AccessService.start(
                directory: directory, rules: rules, limits: configuration.limits, group: group,
                wall: { ServerClock.wallMs() }, logger: logger)
            let quotas = configuration.apps.compactMap { name, options in directory.app(name).map { ($0, options) } }
            let namespaces = Namespaces(
                defaults: configuration.topics, configured: configuration.namespaces, directory: directory)
            return AccessSetup(
                directory: directory, service: service, namespaces: namespaces, quotas: Dictionary(quotas, uniquingKeysWith: { first, _ in first }))
        } catch {
            directory.stop()
            throw error
        }
    }

    func stop() async {
        await self.service.stop()
        self.directory.stop()
    }

    private static func rules(_ options: ServerConfiguration.TokenOptions) throws -> TokenRules {
        var rules = TokenRules()
        rules.secret = options.secret.map { Array($0.utf8) }
        rules.publicKeys = try options.publicKeys.map { file in
            do throws(ConfigProblem) {
                return (name: file, pem: try TextFile.read(file))
            } catch {
                throw StartError("The public key \(file) \(error.text)")
            }
        }
        rules.jwksURL = options.jwksURL
        rules.issuer = options.issuer
        rules.audience = options.audience
        rules.requireExp = options.requireExp
        rules.leewaySeconds = options.leewaySeconds
        return rules
    }
}
