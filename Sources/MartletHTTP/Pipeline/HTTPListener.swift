import MartletCore
import MartletNet
package import NIOCore

/// The one port of HTTP: control plane and data plane behind one listener.
package final class HTTPListener: Sendable {
    private let listener: NetListener
    private let loops: NetLoops

    /// Where it listens.
    package var address: SocketAddress? { self.listener.address }

    private init(listener: NetListener, loops: NetLoops) {
        self.listener = listener
        self.loops = loops
    }

    /// Starts to listen, with TLS if there is a certificate.
    ///
    /// - Parameters:
    ///   - loops: in the order of the node's shards.
    ///   - group: holds these loops.
    /// - Throws: what the operating system says, for example that the address is in use.
    package static func start(
        host: String, port: Int, services: HTTPServices, group: any EventLoopGroup, loops: [any EventLoop]
    ) async throws -> HTTPListener {
        let loops = NetLoops(loops) { [metrics = services.metrics] in metrics.connections($0) }
        let edge = services.edge
        let protocols = services.isHTTP2 ? ["h2", "http/1.1"] : ["http/1.1"]
        let listener = try await NetListener.start(
            host: host, port: port, edge: edge, tls: edge.tls.map { ListenerTLS($0, protocols: protocols) }, limits: services.limits, loops: loops,
            group: group, adapter: ConnectionPipeline(services: services, loops: loops))
        return HTTPListener(listener: listener, loops: loops)
    }

    /// Takes no more connections; those that are open go on.
    package func stopAccepting() async { await self.listener.stopAccepting() }

    /// Ends idle connections at once and the others after their answer.
    ///
    /// - Parameter done: called once when none is left.
    package func quiesce(done: @escaping @Sendable () -> Void) { self.loops.quiesce(done: done) }

    /// Ends every connection that is left.
    package func abort() { self.loops.abort() }
}
