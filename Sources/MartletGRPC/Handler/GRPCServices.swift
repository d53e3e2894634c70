package import Logging
package import MartletCore
package import MartletNet
package import MartletWire
import NIOCore

/// What the gRPC adapter needs of the rest of the server.
package final class GRPCServices: Sendable {
    package struct Options: Sendable {
        /// Streams that a connection may have open at a time.
        package var streamsPerConnection = 1_000
        /// Whether a hello may name a user and a device without a token.
        package var isDev = false

        package init() {}
    }

    let gateway: any SessionGateway
    let desk: any MessageDesk
    let gatekeeper: any Gatekeeper
    let limits: Limits
    let edge: NetEdge
    let options: Options
    /// Counts a message that a client publishes; the refusal if it publishes too many.
    let countPublish: @Sendable (_ app: AppID, _ user: String?) -> WireError?
    /// The same of a key, for some messages.
    let countKeyPublish: @Sendable (_ grant: KeyGrant, _ count: Int) -> WireError?
    /// Whether the store can be read and written.
    let isStoreReady: @Sendable () -> Bool
    /// Counts a refusal, with those of HTTP.
    let refused: @Sendable (ErrorCode) -> Void
    let metrics: GRPCMetrics
    let logger: Logger

    package init(
        gateway: any SessionGateway, desk: any MessageDesk, gatekeeper: any Gatekeeper, limits: Limits, edge: NetEdge, options: Options,
        countPublish: @escaping @Sendable (_ app: AppID, _ user: String?) -> WireError?,
        countKeyPublish: @escaping @Sendable (_ grant: KeyGrant, _ count: Int) -> WireError?, isStoreReady: @escaping @Sendable () -> Bool,
        refused: @escaping @Sendable (ErrorCode) -> Void, metrics: GRPCMetrics, logger: Logger
    ) {
        self.gateway = gateway
        self.desk = desk
        self.gatekeeper = gatekeeper
        self.limits = limits
        self.edge = edge
        self.options = options
        self.countPublish = countPublish
        self.countKeyPublish = countKeyPublish
        self.isStoreReady = isStoreReady
        self.refused = refused
        self.metrics = metrics
        self.logger = logger
    }

    /// Bytes of a message beside what it publishes.
    private static let otherBytes = 65_536

    /// Bytes of a client's message.
    var messageBytes: Int { self.limits.messageBytes + Self.otherBytes }
    /// Bytes of a batch.
    var batchBytes: Int { self.limits.batchBytes + Self.otherBytes }

    static let draining = WireError(.draining, "The server is shutting down: try again in a moment.")
}
