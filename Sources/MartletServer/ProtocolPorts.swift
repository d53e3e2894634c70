import Logging
import MartletCore
import MartletNet
import NIOCore

/// The listeners of a protocol beside HTTP.
struct ProtocolPorts: Sendable {
    private struct Port: Sendable {
        let listener: NetListener
        let loops: NetLoops
    }

    private let ports: [Port]

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - said: logs an address where it is spoken.
    ///   - wanted: options that say where; the one whose name ends in `tlsListen` needs TLS.
    ///   - service: what speaks it.
    ///   - group: holds the loops.
    ///   - loops: in the order of the node's shards.
    /// - Throws: ``StartError``, a sentence for the operator.
    static func start(
        _ wanted: [(option: String, address: ListenAddress?, tls: ListenerTLS?)], service: any NetAdapter, limits: Limits,
        edge: NetEdge, group: any EventLoopGroup, loops: [any EventLoop], instruments: Instruments,
        said: (_ metadata: Logger.Metadata) -> Void
    ) async throws -> ProtocolPorts {
        var ports: [Port] = []
        for (option, address, tls) in wanted {
            guard let address else { continue }
            guard !option.hasSuffix("tlsListen") || tls != nil else {
                throw StartError("Cannot listen on \(address) (\(option)) with TLS without a certificate: set tls.certificate and tls.key.")
            }
            let states = NetLoops(loops, counted: instruments.connections(isTLS: tls != nil))
            do {
                let listener = try await NetListener.start(
                    host: address.host, port: address.port, edge: edge, tls: tls, limits: limits, loops: states, group: group,
                    adapter: service)
                ports.append(Port(listener: listener, loops: states))
                let port = listener.address?.port ?? address.port
                said(["address": "\(ListenAddress(host: address.host, port: port))", "tls": "\(tls != nil)"])
            } catch {
                for port in ports { await port.listener.stopAccepting() }
                throw StartError(
                    "Cannot listen on \(address) (\(option)): \(Server.sentence(error)) Choose another address with \(ConfigName.flag(option)).")
            }
        }
        return ProtocolPorts(ports: ports)
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
