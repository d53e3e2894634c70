import MartletCore
import MartletWire
package import NIOCore
package import NIOPosix

/// The one port: control plane and data plane behind one listener.
package final class HTTPListener: Sendable {
    /// Connections that wait to be accepted. The default of 256 made 10,000 connects take half a minute.
    private static let backlog: Int32 = 4_096

    static let tooMany = WireError(
        .tooManyConnections, "The server has as many connections as it may: connect again in a moment.")
    static let tooManyOfAddress = WireError(
        .tooManyConnections, "Your address has as many connections as it may: close some, or try again in a moment.")

    private let services: HTTPServices
    private let loops: [LoopState]
    private let channel: any Channel

    /// Where it listens.
    package var address: SocketAddress? { self.channel.localAddress }

    private init(services: HTTPServices, loops: [LoopState], channel: any Channel) {
        self.services = services
        self.loops = loops
        self.channel = channel
    }

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - loops: in the order of the node's shards.
    ///   - group: holds these loops.
    /// - Throws: what the operating system says, for example that the address is in use.
    package static func start(
        host: String, port: Int, services: HTTPServices, group: MultiThreadedEventLoopGroup, loops: [any EventLoop]
    ) async throws -> HTTPListener {
        let states = loops.enumerated().map { LoopState(loop: $0.element, index: $0.offset, metrics: services.metrics) }
        let byLoop = Dictionary(uniqueKeysWithValues: states.map { (ObjectIdentifier($0.loop), $0) })
        let pipeline = ConnectionPipeline(services: services)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(gate: services.edge.gate))
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: TinyBuffers())
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let state = byLoop[ObjectIdentifier(channel.eventLoop)] else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    try pipeline.build(on: channel, state: state)
                }
            }
            .bind(host: host, port: port).get()
        return HTTPListener(services: services, loops: states, channel: channel)
    }

    /// Takes no more connections; those that are open go on.
    package func stopAccepting() async {
        // Closing can only fail if it is closed already.
        try? await self.channel.close()
    }

    /// Ends idle connections at once and the others after their answer.
    ///
    /// - Parameter done: called once when none is left.
    package func quiesce(done: @escaping @Sendable () -> Void) {
        let counter = EmptyCounter(left: self.loops.count, done: done)
        for state in self.loops { state.loop.execute { state.quiesce { counter.oneEmpty() } } }
    }

    /// Ends every connection that is left.
    package func abort() {
        for state in self.loops { state.loop.execute { state.closeAll() } }
    }
}
