/// Where to listen.
package struct ListenAddress: Equatable, Sendable, CustomStringConvertible {
    package var host: String
    /// 0 takes any free one.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `HOST:PORT` or `[IPV6]:PORT`.
    package init?(parsing text: String) {
        guard let (host, port) = ServerConfiguration.address(text) else { return nil }
        self.init(host: host, port: port)
    }

    package var description: String { (self.host.contains(":") ? "[\(self.host)]" : self.host) + ":\(self.port)" }
}

/// What is set for MQTT.
package struct MQTTOptions: Equatable, Sendable {
    /// Where plain connections are taken; nil: nowhere.
    package var listen: ListenAddress?
    /// Where connections with TLS are taken; nil: nowhere.
    package var tlsListen: ListenAddress?
    /// Where clients are told to go when the server stops (MQTT 5.0 §4.11); empty: nowhere.
    package var serverReference = ""
    /// Longest time that a client's session is kept without a connection, in seconds. Default 7 days.
    package var sessionExpiryMax = 604_800
    /// Longest silence that a client may ask for, in seconds. Default 10 minutes.
    package var keepAliveMax = 600

    package init() {}
}
