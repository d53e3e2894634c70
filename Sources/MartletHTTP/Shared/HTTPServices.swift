package import Logging
package import MartletCore
package import MartletNet

/// What the HTTP adapter needs of the rest of the server. A class, because every connection holds it.
package final class HTTPServices: Sendable {
    package let gateway: any SessionGateway
    package let desk: any MessageDesk
    package let topics: any TopicDesk
    package let namespaces: any NamespaceDesk
    package let gatekeeper: any Gatekeeper
    package let origins: OriginPolicy
    package let limits: Limits
    package let edge: NetEdge
    package let publishes: PublishLimiter
    let deflate: DeflateSettings
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    let isHTTP2: Bool
    /// Whether `?user=` and `?device=` stand for a token and the dev page and `/dev/echo` exist.
    package let isDev: Bool
    /// Whether the store can be written.
    package let isStoreReady: @Sendable () -> Bool
    /// Unix time in milliseconds.
    package let wall: @Sendable () -> Int64
    package let logger: Logger
    package let metrics: HTTPMetrics
    /// What `/metrics` answers; nil: there is no such path.
    package let metricsText: (@Sendable () -> String)?
    /// Whether `/metrics` needs no key.
    package let isMetricsOpen: Bool
    /// nil: there are no bridges.
    package let bridges: (any BridgeDesk)?
    /// What WebSockets carry instead of our own messages, by the sub-protocol that a client names.
    let byteStreams: [String: any ByteStreamService]
    /// Names what lives as long as this process, in places that clients hand back.
    let processTag = UInt32.random(in: .min ... .max)

    /// - Parameter publishes: shared with others by whom clients publish; nil: its own, by the limits.
    package init(
        gateway: any SessionGateway, desk: any MessageDesk, topics: any TopicDesk, namespaces: any NamespaceDesk, gatekeeper: any Gatekeeper,
        origins: OriginPolicy, limits: Limits, edge: NetEdge, deflate: DeflateSettings = DeflateSettings(), isHTTP2: Bool = true, isDev: Bool,
        isStoreReady: @escaping @Sendable () -> Bool, wall: @escaping @Sendable () -> Int64, logger: Logger,
        metrics: HTTPMetrics = HTTPMetrics(), metricsText: (@Sendable () -> String)? = nil, isMetricsOpen: Bool = false,
        publishes: PublishLimiter? = nil, bridges: (any BridgeDesk)? = nil,
        byteStreams: [String: any ByteStreamService] = [:]
    ) {
        self.gateway = gateway
        self.desk = desk
        self.topics = topics
        self.namespaces = namespaces
        self.gatekeeper = gatekeeper
        self.origins = origins
        self.limits = limits
        self.edge = edge
        self.publishes = publishes ?? PublishLimiter(limits)
        self.deflate = deflate
        self.isHTTP2 = isHTTP2
        self.isDev = isDev
        self.isStoreReady = isStoreReady
        self.wall = wall
        self.logger = logger
        self.metrics = metrics
        self.metricsText = metricsText
        self.isMetricsOpen = isMetricsOpen
        self.bridges = bridges
        self.byteStreams = byteStreams
    }
}
