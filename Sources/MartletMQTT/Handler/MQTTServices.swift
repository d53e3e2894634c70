package import Logging
package import MartletCore
package import MartletWire
import NIOCore
import Synchronization

/// What the MQTT adapter needs of the rest of the server.
package final class MQTTServices: Sendable {
    package struct Options: Sendable {
        /// Where clients are told to go when the server stops (server reference); nil: back here.
        package var serverReference: String?
        /// Longest time for which a session is kept after its connection, in seconds.
        package var sessionExpiryMax = 604_800
        /// Longest keep alive, in seconds: what is longer, or none, is answered with this (MQTT 5 only).
        package var keepAliveMax = 600
        /// Whether user names stand for users, without a password.
        package var isDev = false

        package init() {}
    }

    let gateway: any SessionGateway
    let desk: any MessageDesk
    let gatekeeper: any Gatekeeper
    let limits: Limits
    let options: Options
    /// Counts a message that a client publishes; the refusal if it publishes too many.
    let countPublish: @Sendable (_ app: AppID, _ user: String?) -> WireError?
    /// The server's clock, in milliseconds: what expires, does so by it.
    let now: @Sendable () -> Int64
    let metrics: MQTTMetrics
    let logger: Logger

    package init(
        gateway: any SessionGateway, desk: any MessageDesk, gatekeeper: any Gatekeeper, limits: Limits, options: Options,
        countPublish: @escaping @Sendable (_ app: AppID, _ user: String?) -> WireError?, now: @escaping @Sendable () -> Int64,
        metrics: MQTTMetrics, logger: Logger
    ) {
        self.gateway = gateway
        self.desk = desk
        self.gatekeeper = gatekeeper
        self.limits = limits
        self.options = options
        self.countPublish = countPublish
        self.now = now
        self.metrics = metrics
        self.logger = logger
    }

    /// Bytes of a packet: what is announced as Maximum Packet Size.
    var packetBytes: Int { self.limits.messageBytes }

    /// Messages of QoS 1 and 2 that a client may send before the first is answered: what is announced as Receive Maximum.
    static let receiveMaximum: UInt16 = 1_024
    /// Topic aliases that a client may use.
    static let topicAliases: UInt16 = 64
}
