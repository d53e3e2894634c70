package import Logging
package import MartletCore

/// What the HTTP adapter needs of the rest of the server.
package struct HTTPServices: Sendable {
    package var gateway: any SessionGateway
    package var desk: any MessageDesk
    package var limits: Limits
    /// Whether `?user=` and `?device=` stand for a token and the dev page and `/dev/echo` exist.
    package var isDev: Bool
    /// Whether the store can be written.
    package var isStoreReady: @Sendable () -> Bool
    /// Unix time in milliseconds.
    package var wall: @Sendable () -> Int64
    package var logger: Logger

    package init(
        gateway: any SessionGateway, desk: any MessageDesk, limits: Limits, isDev: Bool,
        isStoreReady: @escaping @Sendable () -> Bool, wall: @escaping @Sendable () -> Int64, logger: Logger
    ) {
        self.gateway = gateway
        self.desk = desk
        self.limits = limits
        self.isDev = isDev
        self.isStoreReady = isStoreReady
        self.wall = wall
        self.logger = logger
    }
}
