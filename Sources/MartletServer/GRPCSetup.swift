import Logging
import MartletCore
import MartletGRPC
import MartletHTTP
import MartletNet
import MartletNode
import MartletWire
import NIOCore

/// The listeners of gRPC as the configuration has them.
enum GRPCSetup {
    /// What speaks gRPC on the listeners, and its messages within WebSockets.
    static func service(
        _ configuration: ServerConfiguration, node: Node, gatekeeper: any Gatekeeper, publishes: PublishLimiter, edge: NetEdge,
        isStoreReady: @escaping @Sendable () -> Bool, loops: [any EventLoop], instruments: Instruments, logger: Logger
    ) -> GRPCListening {
        var options = GRPCServices.Options()
        options.streamsPerConnection = configuration.grpc.streamsPerConnection
        options.isDev = configuration.isDev
        let services = GRPCServices(
            gateway: node, desk: node, gatekeeper: gatekeeper, limits: configuration.limits, edge: edge, options: options,
            countPublish: { app, user in publishes.isBounded(app: app) ? publishes.refusal(user: user, app: app, count: 1) : nil },
            countKeyPublish: { grant, count in
                publishes.isBounded(app: grant.app) ? publishes.refusal(keyID: grant.keyID, app: grant.app, count: count) : nil
            },
            isStoreReady: isStoreReady, refused: { [http = instruments.http] in http.refused($0) }, metrics: instruments.grpc, logger: logger)
        return GRPCListening(services: services, loops: loops)
    }

    /// Starts to listen where gRPC is to be spoken.
    ///
    /// - Throws: ``StartError``, a sentence for the operator.
    static func start(
        _ configuration: ServerConfiguration, service: any NetAdapter, edge: NetEdge, group: any EventLoopGroup, loops: [any EventLoop],
        instruments: Instruments, logger: Logger
    ) async throws -> ProtocolPorts {
        try await ProtocolPorts.start(
            [
                ("grpc.listen", configuration.grpc.listen, nil),
                ("grpc.tlsListen", configuration.grpc.tlsListen, edge.tls.map { ListenerTLS($0, protocols: ["h2"]) }),
            ],
            service: service, limits: configuration.limits, edge: edge, group: group, loops: loops, instruments: instruments
        ) { logger.info("listening for gRPC", metadata: $0) }
    }
}
