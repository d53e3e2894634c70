import Logging
import MartletCore
import MartletMQTT
import MartletNet
import MartletNode
import MartletWire
import NIOCore

/// The listeners of MQTT as the configuration has them.
enum MQTTSetup {
    /// What speaks MQTT on the listeners, and within WebSockets.
    static func service(
        _ configuration: ServerConfiguration, node: Node, gatekeeper: any Gatekeeper,
        countPublish: @escaping @Sendable (AppID, String?) -> WireError?, now: @escaping @Sendable () -> Int64, loops: [any EventLoop],
        instruments: Instruments, logger: Logger
    ) -> MQTTListening {
        var options = MQTTServices.Options()
        options.serverReference = configuration.mqtt.serverReference.isEmpty ? nil : configuration.mqtt.serverReference
        options.sessionExpiryMax = configuration.mqtt.sessionExpiryMax
        options.keepAliveMax = configuration.mqtt.keepAliveMax
        options.isDev = configuration.isDev
        let services = MQTTServices(
            gateway: node, desk: node, gatekeeper: gatekeeper, limits: configuration.limits, options: options, countPublish: countPublish,
            now: now, metrics: instruments.mqtt, logger: logger)
        return MQTTListening(services: services, loops: loops)
    }

    /// Starts to listen where MQTT is to be spoken.
    ///
    /// - Throws: ``StartError``, a sentence for the operator.
    static func start(
        _ configuration: ServerConfiguration, service: any NetAdapter, edge: NetEdge, group: any EventLoopGroup, loops: [any EventLoop],
        instruments: Instruments, logger: Logger
    ) async throws -> ProtocolPorts {
        try await ProtocolPorts.start(
            [
                ("mqtt.listen", configuration.mqtt.listen, nil),
                ("mqtt.tlsListen", configuration.mqtt.tlsListen, edge.tls.map { ListenerTLS($0, protocols: ["mqtt"]) }),
            ],
            service: service, limits: configuration.limits, edge: edge, group: group, loops: loops, instruments: instruments
        ) { logger.info("listening for MQTT", metadata: $0) }
    }
}
