package import Logging
import MartletAccess
import MartletBridge
import MartletCore
import MartletGRPC
import MartletHTTP
import MartletNet
import MartletNode
import MartletStoreSQLite
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Puts the server together: configuration to store, node and listener. The only place that knows every adapter.
package struct Server: Service {
    private let configuration: ServerConfiguration
    private let logger: Logger
    private let onListening: @Sendable (_ url: String) -> Void

    /// - Parameter onListening: called once, when the port answers.
    package init(
        _ configuration: ServerConfiguration, logger: Logger, onListening: @escaping @Sendable (_ url: String) -> Void
    ) {
        self.configuration = configuration
        self.logger = logger
        self.onListening = onListening
    }

    /// Runs a server until SIGTERM or SIGINT.
    ///
    /// - Throws: what keeps it from starting, as a sentence.
    package static func main(
        _ configuration: ServerConfiguration, logger: Logger, onListening: @escaping @Sendable (_ url: String) -> Void
    ) async throws {
        let server = Server(configuration, logger: logger, onListening: onListening)
        // The group's own lines say nothing that the server's do not.
        let quiet = Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet))
        try await group.run()
    }

    /// Runs until a graceful shutdown is asked for, then drains within the limit.
    ///
    /// - Throws: what keeps it from starting, as a sentence.
    package func run() async throws {
        self.logger.info(
            "starting",
            metadata: [
                "version": "\(BuildInfo.version)", "data": "\(self.configuration.dataFolder)",
                "durability": "\(self.configuration.durability.rawValue)", "loops": "\(UsableCores.count)",
            ])
        // From the first moment: by default the signal ends the process.
        let hangups = await UnixSignalsSequence(trapping: .sighup)
        let instruments = Instruments(isTLS: self.configuration.tls != nil)
        let random = RandomPool()
        let store = try StoreSetup.open(self.configuration, random: random.next, logger: self.logger, metrics: instruments.store)
        if store.log.wasUnclean {
            self.logger.notice("the last run did not stop cleanly", metadata: ["messages": "\(store.log.gauges.messages)"])
        }
        if let mode = FileStatus.openMode(self.configuration.dataFolder) {
            self.logger.warning(
                "other users may enter the data folder",
                metadata: ["data": "\(self.configuration.dataFolder)", "mode": "\(mode)", "next": "chmod 700 \(self.configuration.dataFolder)"])
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: UsableCores.count)
        let access: AccessSetup
        do {
            access = try await AccessSetup.start(self.configuration, group: group, logger: self.logger)
        } catch {
            await Self.stop(store, logger: self.logger)
            throw error
        }
        let edge: NetEdge
        do {
            edge = try EdgeSetup.make(self.configuration, logger: self.logger)
        } catch {
            await access.stop()
            await Self.stop(store, logger: self.logger)
            throw error
        }
        instruments.watch(store.log, connections: edge.gate)
        let loops = Array(group.makeIterator()).map { $0 as any EventLoop }
        let clock = NodeClock(now: { store.clock.now() }, wall: { ServerClock.wallMs() }, random: random.next)
        let node = Node(
            store: store.log, loops: loops, limits: self.configuration.limits, clock: clock, logger: self.logger,
            namespaces: access.namespaces, metrics: instruments.node, appSessions: { [quotas = access.quotas] in quotas[$0]?.connections ?? 0 })
        node.startProbes()
        if let error = await withCheckedContinuation({ result in node.loadSessions { result.resume(returning: $0) } }) {
            await access.stop()
            await Self.stop(store, logger: self.logger)
            throw StoreStartError("The kept sessions cannot be read: \(error.detail).")
        }
        access.namespaces.watch { node.namespacesChanged() }
        let bridges: BridgeService?
        do {
            bridges = try BridgeSetup.make(
                self.configuration, access: access, node: node, group: group, instruments: instruments, logger: self.logger)
        } catch {
            await access.stop()
            await Self.stop(store, logger: self.logger)
            throw error
        }
        let publishes = PublishLimiter(self.configuration.limits) { [quotas = access.quotas] in quotas[$0]?.publishRate ?? 0 }
        let mqttService = MQTTSetup.service(
            self.configuration, node: node, gatekeeper: access.service.gatekeeper,
            countPublish: { app, user in publishes.isBounded(app: app) ? publishes.refusal(user: user, app: app, count: 1) : nil },
            now: { store.clock.now() }, loops: loops, instruments: instruments, logger: self.logger)
        let isStoreReady: @Sendable () -> Bool = { store.log.isWritable }
        let grpcService = GRPCSetup.service(
            self.configuration, node: node, gatekeeper: access.service.gatekeeper, publishes: publishes, edge: edge, isStoreReady: isStoreReady,
            loops: loops, instruments: instruments, logger: self.logger)
        let services = HTTPServices(
            gateway: node, desk: node, topics: node, namespaces: access.namespaces, gatekeeper: access.service.gatekeeper,
            origins: OriginPolicy(self.configuration.origins, isDev: self.configuration.isDev),
            limits: self.configuration.limits, edge: edge, deflate: self.configuration.webSocketDeflate, isHTTP2: self.configuration.http2,
            isDev: self.configuration.isDev,
            isStoreReady: isStoreReady, wall: { ServerClock.wallMs() }, logger: self.logger,
            metrics: instruments.http, metricsText: { instruments.text }, isMetricsOpen: self.configuration.metricsOpen,
            publishes: publishes, bridges: bridges, byteStreams: ["mqtt": mqttService, "martlet.proto.v1": grpcService.webSocket])
        let listener: HTTPListener
        do {
            listener = try await HTTPListener.start(
                host: self.configuration.host, port: self.configuration.port, services: services, group: group,
                loops: loops)
        } catch {
            await bridges?.stop()
            await access.stop()
            await Self.stop(store, logger: self.logger)
            throw StartError(
                "Cannot listen on \(self.configuration.host):\(self.configuration.port): \(Self.sentence(error)) Choose another address with --listen, such as --listen 127.0.0.1:9000 (or make run PORT=9000)."
            )
        }
        let mqtt: ProtocolPorts
        let grpc: ProtocolPorts
        do {
            mqtt = try await MQTTSetup.start(
                self.configuration, service: mqttService, edge: edge, group: group, loops: loops, instruments: instruments, logger: self.logger)
            do {
                grpc = try await GRPCSetup.start(
                    self.configuration, service: grpcService, edge: edge, group: group, loops: loops, instruments: instruments,
                    logger: self.logger)
            } catch {
                await mqtt.stopAccepting()
                throw error
            }
        } catch {
            await listener.stopAccepting()
            listener.abort()
            await bridges?.stop()
            await access.stop()
            await Self.stop(store, logger: self.logger)
            throw error
        }
        bridges?.start()
        let port = listener.address?.port ?? self.configuration.port
        let host = self.configuration.host.contains(":") ? "[\(self.configuration.host)]" : self.configuration.host
        self.logger.info(
            "ready",
            metadata: [
                "address": "\(host):\(port)", "tls": "\(edge.tls != nil)", "dev": "\(self.configuration.isDev)",
            ])
        if let line = FirstSteps.line(self.configuration, hasKeys: access.directory.hasKeys) {
            self.logger.warning("setup is not complete", metadata: ["next": "\(line)"])
        }
        let refusals = Task { await RefusalLog(instruments, logger: self.logger).run() }
        self.onListening("\(edge.tls == nil ? "http" : "https")://\(host):\(port)")
        ServiceManager.notify("READY=1")
        let statistics = mqtt.isListening ? loops.first.map { MQTTStatistics(node: node, instruments: instruments).start(on: $0) } : nil
        let renewal = EdgeSetup.renewal(of: edge.tls, hangups: hangups, logger: self.logger)
        try? await gracefulShutdown()
        ServiceManager.notify("STOPPING=1")
        renewal.cancel()
        statistics?.cancel()
        await bridges?.stop()
        await self.drain(node: node, listener: listener, ports: [mqtt, grpc])
        await access.stop()
        refusals.cancel()
        await refusals.value
        await Self.stop(store, logger: self.logger)
        try await group.shutdownGracefully()
        self.logger.info("stopped")
    }

    /// Tells every session to come back later, takes the acks that are under way, and gives up when the time is over.
    private func drain(node: Node, listener: HTTPListener, ports: [ProtocolPorts]) async {
        let sessions = node.sessions
        self.logger.info("draining", metadata: ["sessions": "\(sessions)", "limitSeconds": "\(self.configuration.drainSeconds)"])
        await listener.stopAccepting()
        for port in ports { await port.stopAccepting() }
        let over = OneShot()
        node.drain()
        let empty = EmptyCounter(left: 1 + ports.count) { over.fire() }
        listener.quiesce { empty.oneEmpty() }
        for port in ports { port.quiesce { empty.oneEmpty() } }
        let timer = Task {
            try? await Task.sleep(for: .seconds(self.configuration.drainSeconds))
            over.fire()
        }
        await over.wait()
        timer.cancel()
        let left = node.sessions
        if left > 0 { self.logger.warning("sessions did not leave in time", metadata: ["sessions": "\(left)"]) }
        listener.abort()
        for port in ports { port.abort() }
        await withCheckedContinuation { continuation in node.flushPositions { continuation.resume() } }
    }

    /// Why an address cannot be listened on.
    static func sentence(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)." }
        return switch error.errnoCode {
        case EADDRINUSE: "something else listens there."
        case EACCES: "this user may not (ports below 1024 are the system's)."
        case EADDRNOTAVAIL: "this machine has no such address."
        default: "\(error)."
        }
    }

    private static func stop(_ store: StoreSetup, logger: Logger) async {
        let error = await withCheckedContinuation { continuation in
            store.log.stop { continuation.resume(returning: $0) }
        }
        if let error { logger.error("the store could not be closed cleanly", metadata: ["error": "\(error.detail)"]) }
    }
}

/// Why the server cannot start, in one sentence.
package struct StartError: Error, CustomStringConvertible {
    package var description: String
    init(_ description: String) { self.description = description }
}
