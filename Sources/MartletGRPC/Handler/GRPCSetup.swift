import MartletCore
import MartletNet
import MartletWire
import NIOCore
import NIOHTTP2

/// Lets connections speak HTTP/2 with a channel for each call.
final class GRPCSetup: Sendable {
    let services: GRPCServices
    /// By the shard's index.
    private let loops: [NIOLoopBoundBox<GRPCLoop>]
    private let connection: NIOHTTP2Handler.ConnectionConfiguration
    private let stream: NIOHTTP2Handler.StreamConfiguration

    /// Events that NIO counts in its shortest time.
    private static let countedMost = 8
    /// Frames of a client that are wrong for their stream, in 30 seconds.
    private static let errorsMost = 64

    init(services: GRPCServices, loops: [any EventLoop]) {
        self.services = services
        // Nobody uses them before.
        self.loops = loops.map { NIOLoopBoundBox.makeBoxSendingValue(GRPCLoop(), eventLoop: $0) }
        var connection = HTTP2Profile.connection(limits: services.limits, streams: services.options.streamsPerConnection)
        // Clients of gRPC measure with pings as often as answers come, and may cancel all calls at once: what is too much, GRPCConnection
        // says. NIO's own counts take room for each event that they allow, so few are, in no time.
        connection.controlFrameRateLimit.maximumCount = Self.countedMost
        connection.controlFrameRateLimit.windowLength = .nanoseconds(1)
        self.connection = connection
        var stream = HTTP2Profile.stream
        stream.streamResetFrameRateLimit.maximumCount = Self.countedMost
        stream.streamResetFrameRateLimit.windowLength = .nanoseconds(1)
        stream.streamErrorRateLimit.maximumCount = Self.errorsMost
        self.stream = stream
    }

    func loop(_ state: LoopState) throws -> GRPCLoop {
        guard self.loops.indices.contains(state.index) else { throw ChannelError.inappropriateOperationForState }
        return self.loops[state.index].value
    }

    /// Adds the handlers that speak HTTP/2. The peer's place in the counts is theirs from then on.
    func install(on channel: any Channel, after handler: any ChannelHandler, state: LoopState, peer: Peer) throws -> GRPCConnection {
        let connection = GRPCConnection(services: self.services, loop: try self.loop(state), state: state, peer: peer)
        let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
        let frames = NIOHTTP2Handler(
            mode: .server, eventLoop: channel.eventLoop, connectionConfiguration: self.connection, streamConfiguration: self.stream
        ) { stream in
            stream.eventLoop.makeCompletedFuture { try self.begin(stream, of: bound.value) }
        }
        try channel.pipeline.syncOperations.addHandlers([frames, connection], position: .after(handler))
        return connection
    }

    private func begin(_ channel: any Channel, of connection: GRPCConnection) throws {
        let edge = self.services.edge
        let isIn = edge.gate.enter()
        let peer = isIn ? Peer(edge: edge, address: connection.peer.address, isStream: true) : nil
        let hasPlace = isIn && peer?.count() == true
        if !hasPlace {
            edge.gate.refused(connection.peer.address, why: "as many connections and calls are open as may be")
            peer?.leave()
        }
        try channel.pipeline.syncOperations.addHandler(GRPCStream(connection: connection, peer: hasPlace ? peer : nil))
    }
}
