package import MartletCore
package import NIOCore
import NIOPosix

/// An address where connections are accepted, on all loops.
package final class NetListener: Sendable {
    /// Connections that wait to be accepted. The default of 256 made 10,000 connects take half a minute.
    private static let backlog: Int32 = 4_096

    private let channels: [any Channel]

    /// Where it listens.
    package var address: SocketAddress? { self.channels.first?.localAddress }

    private init(channels: [any Channel]) { self.channels = channels }

    /// Starts to listen: on Linux with a socket for each loop, so that a connection stays where it was accepted.
    ///
    /// - Parameters:
    ///   - port: 0 takes a free one.
    ///   - tls: nil for plain connections.
    ///   - loops: of the adapter; its listeners may share them.
    ///   - group: holds these loops.
    /// - Throws: what the operating system says, for example that the address is in use.
    package static func start(
        host: String, port: Int, edge: NetEdge, tls: ListenerTLS?, limits: Limits, loops: NetLoops, group: any EventLoopGroup,
        adapter: any NetAdapter
    ) async throws -> NetListener {
        let states = loops.states
        let acceptor = Acceptor(edge: edge, tls: tls, adapter: adapter)
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
                let channel = try await Self.listen(on: address, isShared: !isFirst, for: state.loop, [state], acceptor, limits)
                channels.append(channel)
                if isFirst { try await channel.setOption(StreamSocket.sharedPort, value: 1).get() }
            }
            #else
            let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            channels.append(try await Self.listen(on: address, isShared: false, for: group, states, acceptor, limits))
            #endif
        } catch {
            for channel in channels { try? await channel.close() }
            throw error
        }
        return NetListener(channels: channels)
    }

    /// - Parameters:
    ///   - isShared: whether other sockets listen on the address.
    ///   - group: whose loops get the connections.
    private static func listen(
        on address: SocketAddress, isShared: Bool, for group: any EventLoopGroup, _ states: [LoopState], _ acceptor: Acceptor, _ limits: Limits
    ) async throws -> any Channel {
        let byLoop = Dictionary(uniqueKeysWithValues: states.map { (ObjectIdentifier($0.loop), $0) })
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(gate: acceptor.edge.gate))
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
                    try acceptor.accept(channel, state: state)
                }
            }
        #if !os(Linux)
        bootstrap = bootstrap.childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        #endif
        #if os(Linux)
        if isShared { bootstrap = bootstrap.serverChannelOption(StreamSocket.sharedPort, value: 1) }
        #endif
        for (option, value) in StreamSocket.inherited(limits) { bootstrap = bootstrap.serverChannelOption(option, value: value) }
        return try await bootstrap.bind(to: address).get()
    }

    /// Takes no more connections; those that are open go on.
    package func stopAccepting() async {
        // Closing can only fail if it is closed already.
        for channel in self.channels { try? await channel.close() }
    }
}
