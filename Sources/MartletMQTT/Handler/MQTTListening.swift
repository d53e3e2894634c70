import MartletCore
package import MartletNet
import MartletWire
package import NIOCore

/// What a listener of MQTT, and a WebSocket that carries it, make of a connection.
package final class MQTTListening: NetAdapter {
    private let services: MQTTServices
    /// By the shard's index.
    private let mails: [OutcomeMail]

    /// - Parameter loops: in the order of the node's shards.
    package init(services: MQTTServices, loops: [any EventLoop]) {
        self.services = services
        self.mails = loops.map { OutcomeMail(loop: $0) }
    }

    package func install(_ connection: NewConnection) throws {
        guard self.mails.indices.contains(connection.state.index) else { throw ChannelError.inappropriateOperationForState }
        try connection.channel.pipeline.syncOperations.addHandler(
            MQTTConnection(connection, services: self.services, mail: self.mails[connection.state.index]))
    }

    package func refused(_ why: ConnectionRefusal) { self.services.metrics.disconnected(.serverBusy) }

    /// CONNACK "server unavailable" of 3.1.1, which clients of MQTT 5 do not know what to do with but to close.
    package func words(_ why: ConnectionRefusal) -> ByteBuffer? {
        guard why != .plainText else { return nil }
        return ByteBuffer(bytes: [0x20, 0x02, 0x00, 0x03])
    }
}
