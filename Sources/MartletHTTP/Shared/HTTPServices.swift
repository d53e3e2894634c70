package import Logging
package import MartletCore

/// What the HTTP adapter needs of the rest of the server. A class, because every connection holds it.
package final class HTTPServices: Sendable {
    package let gateway: any SessionGateway
    package let desk: any MessageDesk
    package let gatekeeper: any Gatekeeper
    package let origins: OriginPolicy
    package let limits: Limits
    /// Whether `?user=` and `?device=` stand for a token and the dev page and `/dev/echo` exist.
    package let isDev: Bool
    /// Whether the store can be written.
    package let isStoreReady: @Sendable () -> Bool
    /// Unix time in milliseconds.
    package let wall: @Sendable () -> Int64
    package let logger: Logger

    package init(
        gateway: any SessionGateway, desk: any MessageDesk, gatekeeper: any Gatekeeper,
        origins: OriginPolicy, limits: Limits, isDev: Bool,
        isStoreReady: @escaping @Sendable () -> Bool, wall: @escaping @Sendable () -> Int64, logger: Logger
    ) {
        self.gateway = gateway
        self.desk = desk
        self.gatekeeper = gatekeeper
        self.origins = origins
        self.limits = limits
        self.isDev = isDev
        self.isStoreReady = isStoreReady
        self.wall = wall
        self.logger = logger
    }
}
