extension ConfigCatalog {
    static let mqtt: [ConfigOption] = [
        Self.address(
            .mqtt, "mqtt.listen", \.mqtt.listen, "Where MQTT is spoken in plain, such as `0.0.0.0:1883`; nowhere if empty. Port 0 takes a free one."),
        Self.address(
            .mqtt, "mqtt.tlsListen", \.mqtt.tlsListen,
            "Where MQTT is spoken with TLS, such as `0.0.0.0:8883`; nowhere if empty. The certificate is that of `tls.certificate`."),
        .text(
            .mqtt, "mqtt.serverReference", "text",
            "Where clients are told to go when the server stops, such as `push-b.example.com:8883` (MQTT 5.0 §4.11); they are told nothing if empty.",
            read: { $0.mqtt.serverReference.isEmpty ? nil : $0.mqtt.serverReference }, write: { $0.mqtt.serverReference = $1 },
            check: {
                $0.utf8.count <= 1_024 && $0.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
                    ? nil : "must be a line of at most 1,024 bytes, for example push-b.example.com:8883"
            }),
        .number(
            .mqtt, "mqtt.sessionExpiryMax", \.mqtt.sessionExpiryMax, .seconds, 0...315_360_000,
            "Longest time that a client's session is kept while it is not connected, whatever the client asks for."),
        .number(
            .mqtt, "mqtt.keepAliveMax", \.mqtt.keepAliveMax, .seconds, 5...65_535,
            "Longest silence of a client, whatever it asks for; one that says nothing for half as long again is cut off."),
    ]

    /// An address to listen on; empty is none.
    static func address(_ group: OptionGroup, _ name: String, _ path: Field<ServerConfiguration, ListenAddress?>, _ doc: String) -> ConfigOption {
        .text(
            group, name, "host:port", doc, read: { $0[keyPath: path]?.description },
            write: { $0[keyPath: path] = ListenAddress(parsing: $1) },
            check: { $0.isEmpty || ListenAddress(parsing: $0) != nil ? nil : "must be HOST:PORT, for example 127.0.0.1:1883" })
    }
}
