import MartletCore
package import Metrics
import NIOCore

/// What gRPC counts beside what all transports count.
package struct GRPCMetrics: Sendable {
    private let calls: [GRPCCode: Counter]
    private let streams: Meter
    private let received: Counter
    private let rtt: [TransportKind: Timer]

    /// - Parameter factory: default keeps nothing.
    package init(factory: any MetricsFactory = NOOPMetricsHandler.instance) {
        self.calls = Dictionary(
            uniqueKeysWithValues: GRPCCode.allCases.map { code in
                (code, Counter(label: "martlet_grpc_calls_total", dimensions: [("status", code.name)], factory: factory))
            })
        self.streams = Meter(label: "martlet_grpc_streams", factory: factory)
        self.received = Counter(label: "martlet_grpc_messages_received_total", factory: factory)
        self.rtt = Dictionary(
            uniqueKeysWithValues: [TransportKind.grpc, .websocket].map { kind in
                (kind, Timer(label: "martlet_session_rtt_seconds", dimensions: [("transport", kind.name)], factory: factory))
            })
    }

    /// The meaning of each metric, by name.
    package static let help: [(name: String, help: String)] = [
        ("martlet_grpc_calls_total", "Calls of gRPC that ended, by status; cancelled are those that the client reset."),
        ("martlet_grpc_streams", "Open calls of gRPC."),
        ("martlet_grpc_messages_received_total", "Messages from clients of gRPC, of any call."),
        (
            "martlet_session_rtt_seconds",
            "From a heartbeat to its answer: a session's round trip, measured when it is quiet, on gRPC and with the sub-protocol martlet.proto.v1."
        ),
    ]

    func ended(_ code: GRPCCode) { self.calls[code]?.increment() }
    func streams(_ change: Double) { self.streams.increment(by: change) }
    func received(_ messages: Int) { if messages > 0 { self.received.increment(by: messages) } }
    func roundTrip(_ time: TimeAmount, _ transport: TransportKind) { self.rtt[transport]?.recordNanoseconds(time.nanoseconds) }
}
