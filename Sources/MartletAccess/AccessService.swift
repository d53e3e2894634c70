import AsyncHTTPClient
package import Logging
package import MartletCore
package import NIOCore
import Synchronization

/// A gatekeeper that fetches what it must while it runs.
package final class AccessService: Sendable {
    package let gatekeeper: AccessGatekeeper
    private let http: HTTPClient?
    private let fetching: Task<Void, Never>

    /// - Parameters: see ``AccessGatekeeper/make(directory:rules:limits:schedule:http:wall:logger:)``.
    /// - Throws: one sentence for the operator if a key cannot be used.
    package static func start(
        directory: any KeyDirectory, rules: [String: TokenRules], limits: Limits, schedule: KeySetSource.Schedule = .init(),
        group: any EventLoopGroup, wall: @escaping @Sendable () -> Int64, logger: Logger
    ) async throws(AccessError) -> AccessService {
        var http: HTTPClient?
        do throws(AccessError) {
            let gatekeeper = try await AccessGatekeeper.make(
                directory: directory, rules: rules, limits: limits, schedule: schedule,
                http: {
                    var configuration = HTTPClient.Configuration()
                    // The address is the operator's word; where else it points is somebody else's.
                    configuration.redirectConfiguration = .disallow
                    let client = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
                    http = client
                    return client
                }, wall: wall, logger: logger)
            return AccessService(gatekeeper, http)
        } catch {
            try? await http?.shutdown()
            throw error
        }
    }

    private init(_ gatekeeper: AccessGatekeeper, _ http: HTTPClient?) {
        self.gatekeeper = gatekeeper
        self.http = http
        self.fetching = Task { await gatekeeper.run() }
    }

    /// Ends the fetching.
    package func stop() async {
        self.fetching.cancel()
        await self.fetching.value
        try? await self.http?.shutdown()
    }
}
