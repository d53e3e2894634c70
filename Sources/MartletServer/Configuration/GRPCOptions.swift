/// What is set for gRPC.
package struct GRPCOptions: Equatable, Sendable {
    /// Where plain connections are taken (HTTP/2 with prior knowledge); nil: nowhere.
    package var listen: ListenAddress?
    /// Where connections with TLS are taken; nil: nowhere.
    package var tlsListen: ListenAddress?
    /// Calls that a connection may have open at a time.
    package var streamsPerConnection = 1_000

    package init() {}
}
