package import MartletWire
package import Metrics

/// What the listener counts.
package struct HTTPMetrics: Sendable {
    private let refusals: [ErrorCode: Counter]
    private let refusedPublishes: Counter
    /// By route, then by class of status.
    private let requests: [[Counter]]
    private let connections: Meter
    private let streams: Meter
    private let deflateOut: (plain: Counter, deflated: Counter)
    private let deflateIn: (plain: Counter, deflated: Counter)

    /// - Parameters:
    ///   - factory: default keeps nothing.
    ///   - isTLS: whether the listener's connections are encrypted.
    package init(factory: any MetricsFactory = NOOPMetricsHandler.instance, isTLS: Bool = false) {
        self.refusals = Dictionary(
            uniqueKeysWithValues: ErrorCode.allCases.map { code in
                (code, Counter(label: "martlet_refused_total", dimensions: [("reason", code.rawValue)], factory: factory))
            })
        self.refusedPublishes = Counter(
            label: "martlet_publishes_total", dimensions: [("result", "refused")], factory: factory)
        self.requests = Route.allCases.map { route in
            Self.classes.map { status in
                Counter(
                    label: "martlet_http_requests_total", dimensions: [("path", route.name), ("status", status)],
                    factory: factory)
            }
        }
        self.connections = Meter(
            label: "martlet_connections", dimensions: [("security", isTLS ? "tls" : "plain")], factory: factory)
        self.streams = Meter(label: "martlet_http2_streams", factory: factory)
        let deflate = { (direction: String, form: String) in
            Counter(label: "martlet_websocket_deflate_bytes_total", dimensions: [("direction", direction), ("form", form)], factory: factory)
        }
        self.deflateOut = (deflate("out", "plain"), deflate("out", "deflated"))
        self.deflateIn = (deflate("in", "plain"), deflate("in", "deflated"))
    }

    /// The meaning of each metric, by name.
    package static let help: [(name: String, help: String)] = [
        ("martlet_refused_total", "Requests, handshakes and sessions that were refused, by error code."),
        ("martlet_http_requests_total", "Answered requests, by path and class of status; a stream is counted at its begin."),
        ("martlet_connections", "Open connections; each open stream of an HTTP/2 connection counts as one more."),
        ("martlet_http2_streams", "Open streams of HTTP/2 connections."),
        (
            "martlet_websocket_deflate_bytes_total",
            "Bytes of messages that were compressed (out) or decompressed (in) on WebSockets; what many connections share counts once."
        ),
    ]

    private static let classes = ["2xx", "3xx", "4xx", "5xx"]

    /// An error answer is written.
    package func refused(_ reason: ErrorCode) { self.refusals[reason]?.increment() }

    /// Messages of a publish were refused before they came to the store.
    func refusedPublishes(_ count: Int = 1) { self.refusedPublishes.increment(by: count) }

    func answered(_ route: Route, status: Int) {
        let index = status < 300 ? 0 : min(status / 100 - 2, 3)
        self.requests[route.rawValue][index].increment()
    }

    func deflated(from plain: Int, to deflated: Int) {
        self.deflateOut.plain.increment(by: plain)
        self.deflateOut.deflated.increment(by: deflated)
    }

    func inflated(from deflated: Int, to plain: Int) {
        self.deflateIn.plain.increment(by: plain)
        self.deflateIn.deflated.increment(by: deflated)
    }

    func streams(_ change: Int) { self.streams.increment(by: Double(change)) }

    func connections(_ change: Int) { self.connections.increment(by: Double(change)) }
}

/// A path, without what differs between requests.
enum Route: Int, CaseIterable {
    case publish, message, topic, sse, stream, webSocket, poll, exchange, ack, ramen, ramenAck, health, ready, metrics, openAPI, script, bridge, mqtt,
        other

    init(path: Substring) {
        switch path {
        case "/v1/messages": self = .publish
        case "/v1/sse": self = .sse
        case "/v1/stream": self = .stream
        case "/v1/ws": self = .webSocket
        case "/mqtt": self = .mqtt
        case "/v1/poll": self = .poll
        case "/v1/exchange": self = .exchange
        case "/v1/ack": self = .ack
        case "/ramen/receive": self = .ramen
        case "/ramen/ack": self = .ramenAck
        case "/healthz": self = .health
        case "/readyz": self = .ready
        case "/metrics": self = .metrics
        case "/openapi.yaml": self = .openAPI
        case "/martlet.js": self = .script
        default: self = path.begins(with: "/v1/messages/") ? .message : path.begins(with: TopicAPI.prefix) ? .topic : .other
        }
    }

    var name: String {
        switch self {
        case .publish: "/v1/messages"
        case .message: "/v1/messages/{id}"
        case .topic: "/v1/topics/{topic}"
        case .sse: "/v1/sse"
        case .stream: "/v1/stream"
        case .webSocket: "/v1/ws"
        case .poll: "/v1/poll"
        case .exchange: "/v1/exchange"
        case .ack: "/v1/ack"
        case .ramen: "/ramen/receive"
        case .ramenAck: "/ramen/ack"
        case .health: "/healthz"
        case .ready: "/readyz"
        case .metrics: "/metrics"
        case .openAPI: "/openapi.yaml"
        case .script: "/martlet.js"
        case .bridge: "bridge"
        case .mqtt: "/mqtt"
        case .other: "other"
        }
    }
}
