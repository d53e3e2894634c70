import MartletCore
import MartletWire
package import NIOCore
import NIOPosix

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
    private let channels: [any Channel]

    /// Where it listens.
    package var address: SocketAddress? { self.channels.first?.localAddress }

    private init(services: HTTPServices, loops: [LoopState], channels: [any Channel]) {
        self.services = services
        self.loops = loops
        self.channels = channels
    }

    /// Starts to listen: on Linux with a socket for each loop, so that a connection stays where it was accepted.
    ///
    /// - Parameters:
    ///   - loops: in the order of the node's shards.
    ///   - group: holds these loops.
    /// - Throws: what the operating system says, for example that the address is in use.
    package static func start(
        host: String, port: Int, services: HTTPServices, group: any EventLoopGroup, loops: [any EventLoop]
    ) async throws -> HTTPListener {
        let states = loops.enumerated().map { LoopState(loop: $0.element, index: $0.offset, metrics: services.metrics) }
        let pipeline = ConnectionPipeline(services: services)
        var channels: [any Channel] = []
        do {
            #if os(Linux)
            for state in states {
                let address: SocketAddress
                if let first = channels.first?.localAddress {
                    address = first
                } else {
                    address = try SocketAddress.makeAddressResolvingHost(host, port: port)
                }
                // The first has the address for itself, as long as nobody else has it; then the others may join.
                let isFirst = channels.isEmpty
                let channel = try await Self.listen(on: address, isShared: !isFirst, for: state.loop, [state], pipeline, services)
                channels.append(channel)
                if isFirst { try await channel.setOption(StreamSocket.sharedPort, value: 1).get() }
            }
            #else
            let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            channels.append(try await Self.listen(on: address, isShared: false, for: group, states, pipeline, services))
            #endif
        } catch {
            for channel in channels { try? await channel.close() }
            throw error
        }
        return HTTPListener(services: services, loops: states, channels: channels)
    }

    /// - Parameters:
    ///   - isShared: whether other sockets listen on the address.
    ///   - group: whose loops get the connections.
    private static func listen(
        on address: SocketAddress, isShared: Bool, for group: any EventLoopGroup, _ states: [LoopState], _ pipeline: ConnectionPipeline,
        _ services: HTTPServices
    ) async throws -> any Channel {
        let byLoop = Dictionary(uniqueKeysWithValues: states.map { (ObjectIdentifier($0.loop), $0) })
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(gate: services.edge.gate))
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let state = byLoop[ObjectIdentifier(channel.eventLoop)] else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    let options = channel.syncOptions
                    try options?.setOption(.maxMessagesPerRead, value: 1)
                    try options?.setOption(.recvAllocator, value: TinyBuffers())
                    try pipeline.build(on: channel, state: state)
                }
            }
        #if !os(Linux)
        bootstrap = bootstrap.childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        #endif
        #if os(Linux)
        if isShared { bootstrap = bootstrap.serverChannelOption(StreamSocket.sharedPort, value: 1) }
        #endif
        for (option, value) in StreamSocket.inherited(services.limits) { bootstrap = bootstrap.serverChannelOption(option, value: value) }
        return try await bootstrap.bind(to: address).get()
    }

    /// Takes no more connections; those that are open go on.
    package func stopAccepting() async {
        // Closing can only fail if it is closed already.
        for channel in self.channels { try? await channel.close() }
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
