import AsyncHTTPClient
package import Logging
package import MartletCore
package import MartletWire
package import Metrics
package import NIOCore
import Synchronization

/// All bridges of a server: polls URLs for those who are there, pushes what changed, and answers those who still poll.
///
/// One task runs it, with one more for each poll under way; their number is bounded by the configuration.
package final class BridgeService: BridgeDesk {
    /// A bridge of the configuration, with its app.
    package struct Definition: Sendable {
        package var name: String
        package var app: AppID
        package var options: BridgeOptions

        package init(name: String, app: AppID, options: BridgeOptions) {
            self.name = name
            self.app = app
            self.options = options
        }
    }

    private let bridges: [Bridge]
    private let paths: [String: BridgePath]
    private let clients: [HTTPClient]
    private let orders: AsyncStream<(Bridge, FeedTable.Order)>.Continuation
    private let running: Task<Void, Never>

    /// - Parameters:
    ///   - definitions: checked; see ``BridgeOptions/problems(_:hosts:)``.
    ///   - now: milliseconds of the server's clock.
    ///   - wall: Unix time in milliseconds.
    package init(
        _ definitions: [Definition], hosts: HostList, desk: any MessageDesk & TopicDesk & Audience, limits: Limits, group: any EventLoopGroup,
        now: @escaping @Sendable () -> Int64, wall: @escaping @Sendable () -> Int64, random: @escaping @Sendable () -> UInt64, logger: Logger,
        metrics: any MetricsFactory
    ) {
        let (stream, orders) = AsyncStream.makeStream(of: (Bridge, FeedTable.Order).self)
        let environment = Bridge.Environment(
            audience: desk, desk: desk, topics: desk, limits: limits, loop: group.next(), now: now, random: random, logger: logger,
            run: { orders.yield(($0, $1)) })
        var clients: [HTTPClient] = []
        self.bridges = definitions.compactMap { definition in
            var options = definition.options
            guard let url = BridgeURL(options.url) else { return nil }
            if !options.isPerUser { options.plan.polls = 1 }
            options.plan.keepsBodies = !options.isPerUser || options.path != nil
            options.plan.ttlMs = min(options.plan.ttlMs, Int64(limits.ttlMaxSeconds) * 1_000)
            options.plan.feeds = limits.bridgeUsers
            options.plan.bytes = limits.bridgeBytes
            let http = UpstreamClient.client(group, hosts: hosts, timeoutMs: options.timeoutMs, connections: options.plan.polls)
            clients.append(http)
            let client = UpstreamClient(
                http: http, hosts: hosts, maxBytes: options.maxBytes, timeoutMs: options.timeoutMs, userHeader: options.userHeader,
                authorization: options.authorization, wall: wall)
            return Bridge(
                definition.name, app: definition.app, options: options, url: url, client: client,
                metrics: BridgeMetrics(definition.name, metrics), environment: environment)
        }
        self.clients = clients
        var paths: [String: BridgePath] = [:]
        for (index, bridge) in self.bridges.enumerated() {
            guard let path = bridge.options.path else { continue }
            paths[path] = BridgePath(index: index, app: bridge.app, topic: bridge.options.topic, isPublic: bridge.options.access == .public)
        }
        self.paths = paths
        self.orders = orders
        self.running = Task {
            await withDiscardingTaskGroup { group in
                for await (bridge, order) in stream {
                    group.addTask { await bridge.run(order) }
                }
            }
        }
    }

    /// From now on it polls for those who are there.
    package func start() { for bridge in self.bridges { bridge.start() } }

    /// Ends the polls that are under way.
    package func stop() async {
        for bridge in self.bridges { bridge.stop() }
        self.orders.finish()
        for client in self.clients { try? await client.shutdown() }
        await self.running.value
    }

    /// The bridges by name, each with how long its oldest answer is without a good poll, in seconds, and how many URLs it polls.
    package func watch(_ tell: (_ bridge: String, _ gauges: @escaping @Sendable () -> (ageSeconds: Double, urls: Int)) -> Void) {
        for bridge in self.bridges {
            tell(bridge.name) { [weak bridge] in
                let gauges = bridge?.gauges ?? (age: 0, wanted: 0)
                return (Double(gauges.age) / 1_000, gauges.wanted)
            }
        }
    }

    // MARK: BridgeDesk

    package func bridge(at path: Substring) -> BridgePath? { self.paths[String(path)] }

    package func answer(_ path: BridgePath, user: String?, done: @escaping @Sendable (Result<PolledAnswer, WireError>) -> Void) {
        guard self.bridges.indices.contains(path.index) else {
            return done(.failure(WireError(.notFound, "There is no such bridge.")))
        }
        self.bridges[path.index].ask(FeedKey(user: path.topic == nil ? user : nil)) { done(Self.result($0)) }
    }

    private static func result(_ reply: FeedTable.Reply?) -> Result<PolledAnswer, WireError> {
        switch reply {
        case .answer(let answer, let age, let maxAge, let stale):
            let tag = answer.digest.prefix(12).reduce(into: "\"") { $0 += ($1 < 16 ? "0" : "") + String($1, radix: 16) } + "\""
            return .success(
                PolledAnswer(
                    body: answer.body ?? [], contentType: answer.contentType, tag: tag, lastModified: answer.lastModified,
                    ageSeconds: Int(age / 1_000), maxAgeSeconds: Int(maxAge / 1_000), staleBecause: stale?.text))
        case .failure(let failure, let retryAfterMs):
            return .failure(
                WireError(
                    failure.kind == .timeout ? .upstreamTimeout : .upstreamFailed,
                    failure.kind == .timeout
                        ? "The server behind this path did not answer in time."
                        : "The server behind this path did not answer as it should (\(failure.text)).",
                    retryAfterMs: retryAfterMs))
        case .full, .wait: return .failure(WireError(.upstreamFailed, "As many users are polled for as may be: try again later."))
        case nil: return .failure(WireError(.draining, "The server is shutting down: connect again in a moment."))
        }
    }
}
