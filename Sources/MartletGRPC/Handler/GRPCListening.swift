import MartletCore
package import MartletNet
import MartletWire
package import NIOCore

/// What a listener of gRPC makes of a connection.
package final class GRPCListening: NetAdapter {
    private let setup: GRPCSetup

    /// - Parameter loops: in the order of the node's shards.
    package init(services: GRPCServices, loops: [any EventLoop]) { self.setup = GRPCSetup(services: services, loops: loops) }

    package func install(_ connection: NewConnection) throws {
        try connection.channel.pipeline.syncOperations.addHandler(try GRPCStart(connection, setup: self.setup))
    }

    package func refused(_ why: ConnectionRefusal) { self.setup.services.metrics.ended(.unavailable) }

    /// HTTP/2 has no words for it before the connection stands: clients try again when it is closed.
    package func words(_ why: ConnectionRefusal) -> ByteBuffer? { nil }

    /// What speaks `martlet.proto.v1` within WebSockets.
    package var webSocket: any ByteStreamService { ProtoListening(setup: self.setup) }
}

/// What a WebSocket that carries `martlet.proto.v1` makes of a connection: one message of a session in each of its messages.
private struct ProtoListening: ByteStreamService {
    let setup: GRPCSetup

    func install(_ connection: NewConnection) throws {
        let push = PushConnection(
            services: self.setup.services, loop: try self.setup.loop(connection.state), state: connection.state, peer: connection.peer,
            form: .webSocket, credential: connection.credential, call: nil)
        try connection.channel.pipeline.syncOperations.addHandler(push)
    }
}
