extension ConfigChecks {
    /// Addresses of protocols beside HTTP.
    static func listeners(_ loaded: inout LoadedConfiguration) {
        let configuration = loaded.configuration
        let addresses = [
            ("mqtt.listen", configuration.mqtt.listen), ("mqtt.tlsListen", configuration.mqtt.tlsListen),
            ("grpc.listen", configuration.grpc.listen), ("grpc.tlsListen", configuration.grpc.tlsListen),
        ]
        var taken = [("listen", ListenAddress(host: configuration.host, port: configuration.port))]
        for (key, address) in addresses {
            guard let address else { continue }
            let isLoopback = ServerConfiguration.isLoopback(address.host)
            if configuration.isDev, !isLoopback {
                loaded.refuse(
                    key, "dev mode protects nothing, so it listens on loopback only: use 127.0.0.1:\(address.port), or leave out dev.")
            }
            if key.hasSuffix(".tlsListen") {
                if configuration.tls == nil { loaded.refuse(key, "TLS needs a certificate: set tls.certificate and tls.key.") }
            } else if !isLoopback, configuration.trustedProxies.isEmpty {
                loaded.warnings.append(
                    "listening on \(address.host) without TLS (\(key)): tokens and messages can be read on the way. Use \(key.prefix(4)).tlsListen, or put a proxy before it and name it in trustedProxies."
                )
            }
            if let other = taken.first(where: { $0.1 == address && address.port != 0 }) {
                loaded.refuse(key, "\(address) is the address of \(other.0): give each a port of its own.")
            }
            taken.append((key, address))
        }
    }
}
