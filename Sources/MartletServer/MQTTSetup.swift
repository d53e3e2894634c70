import Logging
import MartletCore
import MartletMQTT
import MartletNet
import MartletNode
import MartletWire
import NIOCore

/// The listeners of MQTT as the configuration has them.
struct MQTTSetup: Sendable {
    private struct Port: Sendable {
        let listener: NetListener
        let loops: NetLoops
    }

    private let ports: [Port]

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
    /// - Parameters:
    ///   - service: what speaks it.
    ///   - group: holds the loops.
    ///   - loops: in the order of the node's shards.
    /// - Throws: ``StartError``, a sentence for the operator.
    static func start(
        _ configuration: ServerConfiguration, service: any NetAdapter, edge: NetEdge, group: any EventLoopGroup, loops: [any EventLoop],
        instruments: Instruments, logger: Logger
    ) async throws -> MQTTSetup {
        let options = configuration.mqtt
        let wanted = [
            ("mqtt.listen", options.listen, nil), ("mqtt.tlsListen", options.tlsListen, edge.tls.map { ListenerTLS($0, protocols: ["mqtt"]) }),
        ]
        var ports: [Port] = []
        for (option, address, tls) in wanted {
            guard let address else { continue }
            guard option == "mqtt.listen" || tls != nil else {
                throw StartError("Cannot listen on \(address) (\(option)) with TLS without a certificate: set tls.certificate and tls.key.")
            }
            let states = NetLoops(loops, counted: instruments.connections(isTLS: tls != nil))
            do {
                let listener = try await NetListener.start(
                    host: address.host, port: address.port, edge: edge, tls: tls, limits: configuration.limits, loops: states, group: group,
                    adapter: service)
                ports.append(Port(listener: listener, loops: states))
                let port = listener.address?.port ?? address.port
                logger.info(
                    "listening for MQTT",
                    metadata: ["address": "\(ListenAddress(host: address.host, port: port))", "tls": "\(tls != nil)"])
            } catch {
                for port in ports { await port.listener.stopAccepting() }
                throw StartError(
                    "Cannot listen on \(address) (\(option)): \(Server.sentence(error)) Choose another address with \(ConfigName.flag(option)).")
            }
        }
        return MQTTSetup(ports: ports)
    }

    var isListening: Bool { !self.ports.isEmpty }

    /// Takes no more connections; those that are open go on.
    func stopAccepting() async {
        for port in self.ports { await port.listener.stopAccepting() }
    }

    /// Tells every connection that the server stops.
    ///
    /// - Parameter done: called once when none is left.
    func quiesce(done: @escaping @Sendable () -> Void) {
        guard !self.ports.isEmpty else { return done() }
        let counter = EmptyCounter(left: self.ports.count, done: done)
        for port in self.ports { port.loops.quiesce { counter.oneEmpty() } }
    }

    /// Ends every connection that is left.
    func abort() {
        for port in self.ports { port.loops.abort() }
    }
}
