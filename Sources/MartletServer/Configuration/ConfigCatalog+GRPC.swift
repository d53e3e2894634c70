extension ConfigCatalog {
    static let grpc: [ConfigOption] = [
        Self.address(
            .grpc, "grpc.listen", \.grpc.listen,
            "Where gRPC is spoken in plain (HTTP/2 with prior knowledge), such as `0.0.0.0:9090`; nowhere if empty. Port 0 takes a free one."),
        Self.address(
            .grpc, "grpc.tlsListen", \.grpc.tlsListen,
            "Where gRPC is spoken with TLS, such as `0.0.0.0:9443`; nowhere if empty. The certificate is that of `tls.certificate`."),
        .number(
            .grpc, "grpc.streamsPerConnection", \.grpc.streamsPerConnection, .count, 1...100_000,
            "Calls that one connection may have open at a time; each counts as a connection."),
    ]
}
